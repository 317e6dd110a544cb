"""Who calls? Basic credentials, a bearer token of the client's own session, or a certificate."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from urllib.parse import unquote

from token_service.domain.audit import UNKNOWN
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client, ClientSecret
from token_service.domain.clients.policy_rules import is_client_id
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import SERVICE_AUDIENCE, ClientState
from token_service.domain.ports import ClientStore, Clock, Secrets
from token_service.usecases.clients.cache import ClientCache
from token_service.usecases.refusals import Refusals
from token_service.usecases.tokens.validate import Validate
from tokenservice.core import MalformedToken, Requirement, Verdict
from tokenservice.core.bounded_cache import put_bounded

MAX_CREDENTIALS = 10_000
_CODE = "cs"
_SERVICE = Requirement(SERVICE_AUDIENCE)


def _unauthenticated() -> TokenServiceError:
    """One text for all causes."""
    return TokenServiceError(Reason.CALLER_UNAUTHENTICATED, "the caller is not authenticated")


class AuthenticateCaller:
    """Turns the call's credentials into a client. Raises CALLER_UNAUTHENTICATED.

    Verified Basic credentials are remembered by hash until the configuration version moves or
    the secret ends; freshness of that knowledge is the trust view's, checked by the pipeline.
    Wrong secrets and certificates are noted in the audit log.
    """

    def __init__(
        self,
        *,
        client_cache: ClientCache,
        store: ClientStore,
        secrets: Secrets,
        validate: Validate,
        clock: Clock,
        refusals: Refusals,
    ) -> None:
        self._client_cache = client_cache
        self._store = store
        self._secrets = secrets
        self._validate = validate
        self._clock = clock
        self._refusals = refusals
        self._known: dict[bytes, tuple[Client, float]] = {}
        self._proven: dict[bytes, None] = {}
        self._known_version = -1

    def recognise(self, authorization: str) -> Client | None:
        """The client of credentials verified before, without any I/O; None: authenticate."""
        if self._known_version != self._client_cache.version:
            self._known = {}
            self._known_version = self._client_cache.version
        found = self._known.get(_fingerprint(authorization))
        if found is None or self._clock.unix() >= found[1]:
            return None
        return found[0]

    def is_cheap(self, authorization: str, *, client_id: str = "", thumbprint: str = "") -> bool:
        """Whether wrong credentials could not cost a query here: access tokens are checked in
        memory, and what was right when this node last asked may be asked about again."""
        return (
            _fingerprint(authorization, client_id, thumbprint) in self._proven
            or self.recognise(authorization) is not None
            or is_bearer(authorization)
        )

    async def __call__(
        self, stranger: Caller, authorization: str, *, client_id: str = "", thumbprint: str = ""
    ) -> Client:
        """Authenticate by `authorization` (RFC 7617, RFC 6750), or by the verified certificate's
        SHA-256 `thumbprint` (lower-case hex) and a client id (RFC 8705). `stranger` is the call as
        nobody's, for the audit log."""
        if is_bearer(authorization):
            return await self._bearer(authorization.partition(" ")[2])
        known = self.recognise(authorization)
        if known is not None:
            return known
        presented = _fingerprint(authorization, client_id, thumbprint)
        try:
            client = await self._by_secret_or_certificate(authorization, client_id, thumbprint)
        except _Wrong as wrong:
            self._proven.pop(presented, None)
            await self._note(stranger, wrong)
            raise _unauthenticated() from None
        put_bounded(self._proven, presented, None, MAX_CREDENTIALS)
        return client

    async def _by_secret_or_certificate(
        self, authorization: str, client_id: str, thumbprint: str
    ) -> Client:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "basic":
            return await self._basic(authorization, value)
        if not authorization and client_id and thumbprint:
            return await self._certificate(client_id, thumbprint)
        raise _unauthenticated()

    async def _note(self, stranger: Caller, wrong: "_Wrong") -> None:
        """Count by client, and together what is presented for clients that nobody has."""
        await self._refusals.note(
            stranger,
            "client.authenticate",
            Reason.CALLER_UNAUTHENTICATED,
            wrong.client_id or UNKNOWN,
            by=wrong.client_id,
            details=f"cause={wrong.cause}",
        )

    async def _basic(self, authorization: str, value: str) -> Client:
        client_id, secret = _split_basic(value)
        found = await self._client_cache.find(client_id)
        if found is None:
            raise _Wrong("", "unknown_client")
        self._require_secret(client_id, secret)
        match = self._match(found[0].secrets, secret)
        if match is None:  # it may be newer than what this node remembers
            found = await self._client_cache.find(client_id, reread=True)
            match = self._match(found[0].secrets, secret) if found else None
        if found is None or match is None:
            raise _Wrong(client_id, "wrong_secret")
        client = await self._first_use(found[0], match)
        _require_active(client)
        await self._refresh_hash(client, match, secret)
        self._remember(authorization, client, match, found[1])
        return client

    def _require_secret(self, client_id: str, secret: str) -> None:
        """Refuse what is not shaped like a client secret before the client is read again."""
        try:
            self._secrets.check(_CODE, secret)
        except MalformedToken as error:
            raise _Wrong(client_id, "malformed_secret") from error

    def _match(self, candidates: Sequence[ClientSecret], secret: str) -> ClientSecret | None:
        now = self._clock.now()
        for candidate in candidates:
            if not secret_alive(candidate, now):
                continue
            presented = self._secrets.hash(_CODE, secret, candidate.pepper_id)
            if presented is not None and hmac.compare_digest(presented, candidate.secret_hash):
                return candidate
        return None

    async def _first_use(self, client: Client, match: ClientSecret) -> Client:
        """The first use ends the window in which the secret could be collected again."""
        if match.first_used_at is not None:
            return client
        await self._store.mark_used(client.client_id, match.secret_hash, self._clock.now())
        reread = await self._client_cache.find(client.client_id, reread=True)
        if reread is None:
            raise _unauthenticated()
        return reread[0]

    async def _refresh_hash(self, client: Client, match: ClientSecret, secret: str) -> None:
        moved = self._secrets.rehash(_CODE, secret, match.pepper_id)
        if moved is not None:
            await self._store.rehash_secret(client.client_id, match.secret_hash, *moved)

    def _remember(
        self, authorization: str, client: Client, match: ClientSecret, version: int
    ) -> None:
        if version < self._client_cache.version:
            return
        self.recognise("")  # drops what an older configuration left
        ends = match.expires_at.timestamp() if match.expires_at else float("inf")
        put_bounded(self._known, _fingerprint(authorization), (client, ends), MAX_CREDENTIALS)

    async def _bearer(self, token: str) -> Client:
        answer = await self._validate.judge(token, _SERVICE)
        if answer.identified is None or answer.verdict is not Verdict.ACTIVE:
            raise _unauthenticated()
        facts = answer.identified.facts
        found = await self._client_cache.find(facts.client_id)
        if found is None or facts.subject != facts.client_id:
            raise _unauthenticated()
        if found[0].state is not ClientState.ACTIVE:
            raise _unauthenticated()
        return found[0]

    async def _certificate(self, client_id: str, thumbprint: str) -> Client:
        if not is_client_id(client_id):
            raise _unauthenticated()
        found = await self._client_cache.find(client_id)
        if found is None:
            raise _Wrong("", "unknown_client")
        if thumbprint not in found[0].policy.certificate_thumbprints:
            raise _Wrong(client_id, "wrong_certificate")
        return _require_active(found[0])


def secret_alive(secret: ClientSecret, now: datetime) -> bool:
    """Whether the secret still authenticates at `now`."""
    return secret.expires_at is None or now < secret.expires_at


class _Wrong(Exception):  # noqa: N818 - it becomes the one refusal for all causes
    """Why the credentials that were presented for `client_id` (empty: there is none of that name)
    are wrong, for the audit log."""

    def __init__(self, client_id: str, cause: str) -> None:
        super().__init__(cause)
        self.client_id = client_id
        self.cause = cause


def is_bearer(authorization: str) -> bool:
    """Whether it is an access token (RFC 6750)."""
    return authorization.partition(" ")[0].lower() == "bearer"


def _require_active(client: Client) -> Client:
    if client.state is not ClientState.ACTIVE:
        raise _Wrong(client.client_id, "not_active")
    return client


def _fingerprint(authorization: str, client_id: str = "", thumbprint: str = "") -> bytes:
    presented = authorization or f"{client_id} {thumbprint}"
    return blake2b(presented.encode(), digest_size=16).digest()


def _split_basic(value: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(value.encode("ascii"), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeError) as error:
        raise _unauthenticated() from error
    quoted_id, colon, secret = text.partition(":")
    client_id = unquote(quoted_id)
    # No store is asked about what cannot be a client's name.
    if not colon or not secret or not is_client_id(client_id):
        raise _unauthenticated()
    return client_id, unquote(secret)
