"""Who is calling, and may they? Before anything of the request is looked at."""

import re
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from secrets import token_hex
from ssl import PEM_cert_to_DER_cert
from time import monotonic
from typing import Protocol
from urllib.parse import unquote

from token_service.domain.addresses import counted_network
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.errors import Reason, TokenServiceError
from token_service.rpc.capacity import MAX_CALLERS, FailureLimiter, RateLimiter
from token_service.rpc.context import CallContext, Metadata
from token_service.rpc.errors import without_credentials
from token_service.rpc.policy_table import WRONG_CREDENTIALS, Anonymous, MethodPolicy
from token_service.usecases.clients.authenticate_caller import is_bearer
from tokenservice.core.bounded_cache import put_bounded

REQUEST_ID = "x-request-id"
CLIENT_ID = "x-client-id"
"""Names the client that authenticates by its TLS certificate alone."""

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


class Authenticator(Protocol):
    """Turns credentials into a client."""

    def recognise(self, authorization: str) -> Client | None:
        """The client of credentials that were verified before; touches no store."""

    def is_cheap(self, authorization: str, *, client_id: str = "", thumbprint: str = "") -> bool:
        """Whether wrong credentials could not cost a query here: access tokens are checked in
        memory, and what was right before may be asked about again."""

    async def __call__(
        self, stranger: Caller, authorization: str, *, client_id: str = "", thumbprint: str = ""
    ) -> Client:
        """Verify the credentials that `stranger` presents. Raises CALLER_UNAUTHENTICATED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """How callers are recognised, the same for all methods.

    A remembered client is believed only while this node's view of the trust log is recent enough:
    `is_fresh` says so at once, `require_fresh` may read the log first and raises TRUST_STALE.
    `wrong_credentials` limits, by network, how many are checked against the store.
    """

    authenticator: Authenticator
    require_fresh: Callable[[], Awaitable[None]]
    is_fresh: Callable[[], bool]
    open_registration: bool = False
    client_certificates: bool = False
    wrong_credentials: FailureLimiter = field(
        default_factory=lambda: FailureLimiter(WRONG_CREDENTIALS, monotonic)
    )


class Envelope:
    """What the metadata of a call says about it."""

    __slots__ = ("authorization", "authorizations", "client_id", "request_id")

    def __init__(self, metadata: Metadata, ids: Callable[[], str]) -> None:
        self.authorization = self.client_id = self.request_id = ""
        self.authorizations = 0
        for key, value in metadata:
            if key == "authorization":
                self.authorization = str(value)
                self.authorizations += 1
            elif key == REQUEST_ID and _SANE_REQUEST_ID.fullmatch(str(value)):
                self.request_id = str(value)
            elif key == CLIENT_ID:
                self.client_id = str(value)
        if not self.request_id:
            self.request_id = ids()


class Admission:
    """The checks of one method."""

    def __init__(
        self, gate: Gate, policy: MethodPolicy, by_client: RateLimiter, by_address: RateLimiter
    ) -> None:
        self._gate = gate
        self._policy = policy
        self._by_client = by_client
        self._by_address = by_address
        self._known: dict[str, tuple[Client, Caller]] = {}

    async def admit(self, envelope: Envelope, context: CallContext, address: str) -> Caller:
        """The caller at `address`, if it may call. Raises CALLER_UNAUTHENTICATED,
        PERMISSION_MISSING, RATE_LIMITED, or what authenticating raises."""
        if self._is_anonymous(envelope):
            self._by_address.take(counted_network(address))
            return Caller("", request_id=envelope.request_id, address=address)
        client = await self._client(envelope, context, address)
        try:
            self._require_permission(client)
            self._by_client.take(client.client_id)
        except TokenServiceError as error:
            error.about["caller"] = client.client_id  # which the call's log line names
            raise
        return Caller(
            client.client_id,
            client.policy,
            envelope.request_id,
            address,
            by_token=is_bearer(envelope.authorization),
        )

    def recognise(self, metadata: Metadata) -> Caller | None:
        """The same for a client seen before, in the fewest steps and without its address and
        request id; None when that cannot be said at once: then `admit` decides."""
        authorization = None
        for key, value in metadata:
            if key == "authorization":
                if authorization is not None:
                    return None
                authorization = value
        gate = self._gate
        if authorization is None or not gate.is_fresh():
            return None
        client = gate.authenticator.recognise(authorization)  # type: ignore[arg-type]
        if client is None:
            return None
        known = self._known.get(client.client_id)
        try:
            if known is None or known[0] is not client:
                known = self._remember(client)
            self._by_client.take(client.client_id)
        except TokenServiceError as error:
            error.about["caller"] = client.client_id
            raise
        return known[1]

    def _remember(self, client: Client) -> tuple[Client, Caller]:
        self._require_permission(client)
        known = (client, Caller(client.client_id, client.policy))
        put_bounded(self._known, client.client_id, known, MAX_CALLERS)
        return known

    def _require_permission(self, client: Client) -> None:
        any_of = self._policy.any_of
        if any_of and any_of.isdisjoint(client.policy.permissions):
            names = " or ".join(sorted(any_of))
            raise TokenServiceError(Reason.PERMISSION_MISSING, f"permission {names} is missing")

    def _is_anonymous(self, envelope: Envelope) -> bool:
        anonymous = self._policy.anonymous
        if anonymous is not Anonymous.WHERE_OPEN:
            return anonymous is Anonymous.ALWAYS
        return self._gate.open_registration and not envelope.authorizations

    async def _client(self, envelope: Envelope, context: CallContext, address: str) -> Client:
        gate = self._gate
        await gate.require_fresh()
        client_id = thumbprint = ""
        if envelope.authorizations == 0 and gate.client_certificates and envelope.client_id:
            client_id, thumbprint = envelope.client_id, certificate_thumbprint(context)
        elif envelope.authorizations != 1:
            raise without_credentials()
        stranger = Caller("", request_id=envelope.request_id, address=address)
        network = counted_network(address)
        authenticate, presented = gate.authenticator, envelope.authorization
        by = {"client_id": client_id, "thumbprint": thumbprint}
        cheap = authenticate.is_cheap(presented, **by)
        try:
            with nullcontext() if cheap else gate.wrong_credentials.attempt(network):
                return await authenticate(stranger, presented, **by)
        except TokenServiceError as error:
            if error.reason is Reason.CALLER_UNAUTHENTICATED:
                gate.wrong_credentials.failed(network)
            raise


def request_ids() -> Callable[[], str]:
    """A source of request ids: unique, and cheap enough for every call."""
    prefix = token_hex(6)
    numbers = count(1)
    return lambda: f"{prefix}-{next(numbers):x}"


def peer_address(peer: str) -> str:
    """The network address in a gRPC peer name such as `ipv4:192.0.2.7:4711`, without the port;
    empty for a peer on this machine's own sockets."""
    scheme, _, rest = peer.partition(":")
    if scheme == "ipv4":
        return rest.rpartition(":")[0]
    if scheme == "ipv6":
        return unquote(rest).rpartition(":")[0].strip("[]")
    return ""


def place_of(address: str) -> str:
    """Who holds the place of a call that is not admitted, or has no client: its network. No client
    id looks like this."""
    return "@" + counted_network(address)


def certificate_thumbprint(context: CallContext) -> str:
    """SHA-256 of the certificate that the TLS layer verified, in lower-case hex (RFC 8705,
    section 3.1); empty when there was none."""
    for pem in context.auth_context().get("x509_pem_cert", ()):
        return sha256(PEM_cert_to_DER_cert(pem.decode("ascii"))).hexdigest()
    return ""
