"""Who calls? Basic credentials, a bearer token of the client's own session, or a certificate."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from urllib.parse import unquote

from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import SERVICE_AUDIENCE, ClientState
from token_service.domain.policy_rules import is_client_id
from token_service.domain.ports import ClientStore, Clock, Secrets
from token_service.domain.records import Client, ClientSecret
from token_service.usecases.client_directory import ClientDirectory
from token_service.usecases.validate import Validate
from tokenservice.core import MalformedToken, Requirement, Verdict

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
    """

    def __init__(
        self,
        directory: ClientDirectory,
        store: ClientStore,
        secrets: Secrets,
        validate: Validate,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._store = store
        self._secrets = secrets
        self._validate = validate
        self._clock = clock
        self._known: dict[bytes, tuple[Client, float]] = {}
        self._known_version = -1

    def recognise(self, authorization: str) -> Client | None:
        """The client of credentials verified before, without any I/O; None: authenticate."""
        if self._known_version != self._directory.version:
            self._known = {}
            self._known_version = self._directory.version
        found = self._known.get(_fingerprint(authorization))
        if found is None or self._clock.unix() >= found[1]:
            return None
        return found[0]

    async def __call__(
        self, authorization: str, *, client_id: str = "", thumbprint: str = ""
    ) -> Client:
        """Authenticate by `authorization` (RFC 7617, RFC 6750), or by the verified certificate's
        SHA-256 `thumbprint` (lower-case hex) and a client id (RFC 8705)."""
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "basic":
            return await self._basic(authorization, value)
        if scheme.lower() == "bearer":
            return await self._bearer(value)
        if not authorization and client_id and thumbprint:
            return await self._certificate(client_id, thumbprint)
        raise _unauthenticated()

    async def _basic(self, authorization: str, value: str) -> Client:
        known = self.recognise(authorization)
        if known is not None:
            return known
        client_id, secret = _split_basic(value)
        self._precheck(secret)
        found = await self._directory.find(client_id)
        if found is None:
            raise _unauthenticated()
        match = self._match(found[0].secrets, secret)
        if match is None:  # it may be newer than what this node remembers
            found = await self._directory.find(client_id, reread=True)
            match = self._match(found[0].secrets, secret) if found else None
        if found is None or match is None:
            raise _unauthenticated()
        client = await self._first_use(found[0], match)
        _require_active(client)
        await self._refresh_hash(client, match, secret)
        self._remember(authorization, client, match, found[1])
        return client

    def _precheck(self, secret: str) -> None:
        """Refuse what is not shaped like a client secret before any store is asked."""
        try:
            self._secrets.hash(_CODE, secret, self._secrets.active_pepper())
        except MalformedToken as error:
            raise _unauthenticated() from error

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
        reread = await self._directory.find(client.client_id, reread=True)
        if reread is None:
            raise _unauthenticated()
        return reread[0]

    async def _refresh_hash(self, client: Client, match: ClientSecret, secret: str) -> None:
        pepper = self._secrets.active_pepper()
        if match.pepper_id == pepper:
            return
        new_hash = self._secrets.hash(_CODE, secret, pepper)
        if new_hash is not None:
            await self._store.rehash_secret(client.client_id, match.secret_hash, new_hash, pepper)

    def _remember(
        self, authorization: str, client: Client, match: ClientSecret, version: int
    ) -> None:
        if version < self._directory.version:
            return
        self.recognise("")  # drops what an older configuration left
        if len(self._known) >= MAX_CREDENTIALS:
            self._known.clear()
        ends = match.expires_at.timestamp() if match.expires_at else float("inf")
        self._known[_fingerprint(authorization)] = (client, ends)

    async def _bearer(self, token: str) -> Client:
        known = await self._validate.identify(token)
        if isinstance(known, Verdict):
            raise _unauthenticated()
        if self._validate.decide(known.facts, _SERVICE) is not Verdict.ACTIVE:
            raise _unauthenticated()
        facts = known.facts
        found = await self._directory.find(facts.client_id)
        if found is None or facts.subject != facts.client_id:
            raise _unauthenticated()
        return _require_active(found[0])

    async def _certificate(self, client_id: str, thumbprint: str) -> Client:
        if not is_client_id(client_id):
            raise _unauthenticated()
        found = await self._directory.find(client_id)
        if found is None or thumbprint not in found[0].policy.certificate_thumbprints:
            raise _unauthenticated()
        return _require_active(found[0])


def secret_alive(secret: ClientSecret, now: datetime) -> bool:
    """Whether the secret still authenticates at `now`."""
    return secret.expires_at is None or now < secret.expires_at


def _require_active(client: Client) -> Client:
    if client.state is not ClientState.ACTIVE:
        raise _unauthenticated()
    return client


def _fingerprint(authorization: str) -> bytes:
    return blake2b(authorization.encode(), digest_size=16).digest()


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
