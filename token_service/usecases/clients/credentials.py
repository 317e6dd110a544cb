"""Client secrets: collected after approval, rotated with an overlap, never stored.

A secret is derived from what it is for, the caller's `request_id` and the active pepper, so a
retry gets the same one again although only a keyed hash is kept. The pepper is part of the
fingerprint by which a retry is recognised: once it was rotated, a retry makes a new secret rather
than one that would not work.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from token_service.domain.audit import UNKNOWN, AuditEvent
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client, ClientSecret
from token_service.domain.clients.power import require_may_change
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, Permission
from token_service.domain.ports import ClientStore, Clock, Secrets
from token_service.usecases.clients.authenticate_caller import secret_alive
from token_service.usecases.clients.records import ClientRecords, wrong_state
from token_service.usecases.refusals import Refusals
from token_service.usecases.shielding import Shield
from tokenservice.core import MalformedToken
from tokenservice.core.tokens.opaque import CLIENT_SECRET_CODE, REGISTRATION_SECRET_CODE

DEFAULT_OVERLAP = timedelta(hours=24)
MAX_OVERLAP = timedelta(days=7)
MAX_LIVE_SECRETS = 8
"""Each is tried when the client authenticates."""
_TRIES = 4


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """`request_id` is drawn once and repeated on retries."""

    client_id: str
    registration_secret: str = field(repr=False)
    request_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RotateRequest:
    """`client_id` empty: the caller's own. The former secrets work for `overlap` more."""

    request_id: str = field(repr=False)
    client_id: str = ""
    overlap: timedelta = DEFAULT_OVERLAP


@dataclass(frozen=True, slots=True)
class Rotated:
    """The new secret; until when a former one works (None: none does)."""

    client: Client
    client_secret: str = field(repr=False)
    old_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class DrawnSecret:
    """A secret with what is kept of it. `request_hash` recognises a retry."""

    secret: str = field(repr=False)
    kept: ClientSecret
    request_hash: bytes = field(repr=False)


def draw_secret(
    secrets: Secrets, purpose: str, client_id: str, request: tuple[str, ...], now: datetime
) -> DrawnSecret:
    """The secret of this request, the same each time while the pepper is the active one.

    `request` must be known to nobody else: whoever learned a pepper could draw the secret too.
    """
    parts = [part.encode() for part in (purpose, client_id, *request)]
    context = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    secret, secret_hash, pepper_id = secrets.make(CLIENT_SECRET_CODE, context)
    kept = ClientSecret(secret_hash, pepper_id, now, expires_at=None, first_used_at=None)
    return DrawnSecret(secret, kept, sha256(pepper_id.encode() + context).digest())


class CollectClientCredentials:
    """Raises CREDENTIALS_INVALID (unknown client and wrong secret alike), and to whoever has the
    registration secret CLIENT_NOT_APPROVED, CLIENT_DISABLED and CREDENTIALS_COLLECTED."""

    def __init__(
        self,
        *,
        store: ClientStore,
        records: ClientRecords,
        secrets: Secrets,
        clock: Clock,
        shield: Shield,
        refusals: Refusals,
        open_registration: bool,
    ) -> None:
        self._store = store
        self._records = records
        self._secrets = secrets
        self._clock = clock
        self._shield = shield
        self._refusals = refusals
        self._open = open_registration

    async def __call__(self, caller: Caller, request: CollectRequest) -> str:
        """The client's secret: the same for the same `request_id`, another one replaces it.
        After its first use it is gone."""
        if not self._open:
            caller.require(Permission.CLIENTS_REGISTER)
        client = await self._registrant(caller, request)
        _require_collectable(client)
        drawn = draw_secret(
            self._secrets,
            "collect",
            client.client_id,
            (request.request_id, request.registration_secret),
            self._clock.now(),
        )
        audit = caller.audit(drawn.kept.created_at, "client.collect", target=client.client_id)
        if not await self._shield.run(self._put(client, drawn, audit)):
            _require_collectable(await self._records.require(client.client_id))
            raise _collected()
        await self._records.find(client.client_id)
        return drawn.secret

    async def _put(self, client: Client, drawn: DrawnSecret, audit: AuditEvent) -> bool:
        return await self._store.put_secret(
            client.client_id, drawn.kept, drawn.request_hash, old_expires_at=None, audit=audit
        )

    def _hash(self, request: CollectRequest, pepper_id: str) -> bytes | None:
        try:
            return self._secrets.hash(
                REGISTRATION_SECRET_CODE, request.registration_secret, pepper_id
            )
        except MalformedToken:
            raise _invalid() from None

    async def _registrant(self, caller: Caller, request: CollectRequest) -> Client:
        found = await self._records.find(request.client_id)
        try:
            return self._if_its_own(found, request)
        except TokenServiceError as error:
            target = found.client_id if found else UNKNOWN
            await self._refusals.note(caller, "client.collect", error.reason, target, by=target)
            raise

    def _if_its_own(self, client: Client | None, request: CollectRequest) -> Client:
        """The client, if the registration secret is or was its own. Nobody else learns anything:
        an unknown client, and one in whatever state, costs the same work as a wrong secret."""
        kept = client.registration_hash if client else None
        pepper_id = (client.registration_pepper if client else "") or self._secrets.active_pepper()
        presented = self._hash(request, pepper_id) or b""
        if not hmac.compare_digest(presented, kept or b"-") or client is None:
            raise _invalid()
        return client


class RotateClientSecret:
    """Raises CREDENTIAL_NOT_ALLOWED for a caller with an access token, PERMISSION_MISSING,
    CLIENT_NOT_FOUND, CLIENT_STATE, CLIENT_DISABLED and RATE_LIMITED (too many secrets work
    already).

    A secret is drawn from the one before it as well as from the `request_id`. So a retry is known
    by the secret that is there, and an id used again much later gives another secret: one that
    was rotated out never comes back.
    """

    def __init__(
        self,
        *,
        store: ClientStore,
        records: ClientRecords,
        secrets: Secrets,
        clock: Clock,
        shield: Shield,
        refusals: Refusals,
    ) -> None:
        self._store = store
        self._records = records
        self._secrets = secrets
        self._clock = clock
        self._shield = shield
        self._refusals = refusals

    async def __call__(self, caller: Caller, request: RotateRequest) -> Rotated:
        """A new secret; the former ones work until the overlap ends, or an earlier one does."""
        target = request.client_id or caller.client_id
        work = self._rotate(caller, request)
        return await self._refusals.trace(caller, "client.rotate_secret", target, work)

    async def _rotate(self, caller: Caller, request: RotateRequest) -> Rotated:
        caller.require_own_credential()
        for _ in range(_TRIES):
            rotated = await self._attempt(caller, request)
            if rotated is not None:
                return rotated
        raise TokenServiceError(Reason.OVERLOADED, "the policy keeps changing")

    async def _attempt(self, caller: Caller, request: RotateRequest) -> Rotated | None:
        """None: the client changed since it was read, so its power is to be compared again."""
        client = await self._records.own_or_administered(caller, request.client_id)
        if client.client_id != caller.client_id:
            require_may_change(caller, client)  # the caller gets to see the secret
        if client.state is not ClientState.ACTIVE:
            raise wrong_state(client)
        now = self._clock.now()
        alive = [secret for secret in client.secrets if secret_alive(secret, now)]
        drawn = self._drawn_before(client, request, alive, now)
        if drawn is None:
            _require_room(alive, request.overlap, now)
            newest = max(alive, key=lambda secret: secret.created_at, default=None)
            drawn = self._draw(client, request, newest, now)
            if not await self._write(caller, client, request, drawn):
                return None
            client = await self._records.require(client.client_id)
        return Rotated(client, drawn.secret, end_of_former(client, drawn.kept.secret_hash, now))

    def _drawn_before(
        self,
        client: Client,
        request: RotateRequest,
        alive: Sequence[ClientSecret],
        now: datetime,
    ) -> DrawnSecret | None:
        """What this very request made before, if it still works."""
        working = {secret.secret_hash for secret in alive}
        for former in (*client.secrets, None):
            drawn = self._draw(client, request, former, now)
            if drawn.kept.secret_hash in working:
                return drawn
        return None

    def _draw(
        self, client: Client, request: RotateRequest, former: ClientSecret | None, now: datetime
    ) -> DrawnSecret:
        origin = former.secret_hash.hex() if former else ""
        return draw_secret(
            self._secrets, "rotate", client.client_id, (request.request_id, origin), now
        )

    async def _write(
        self, caller: Caller, client: Client, request: RotateRequest, drawn: DrawnSecret
    ) -> bool:
        now = drawn.kept.created_at
        audit = caller.audit(
            now,
            "client.rotate_secret",
            target=client.client_id,
            details=f"overlap={int(request.overlap.total_seconds())}",
        )
        return await self._shield.run(
            self._store.put_secret(
                client.client_id,
                drawn.kept,
                drawn.request_hash,
                old_expires_at=now + request.overlap,
                audit=audit,
                former=client.policy,
            )
        )


def end_of_former(client: Client, secret_hash: bytes, now: datetime) -> datetime | None:
    """When the last of the client's secrets stops working besides the one with this hash; None
    when no other works."""
    ends = (
        secret.expires_at
        for secret in client.secrets
        if secret.secret_hash != secret_hash and secret.expires_at and now < secret.expires_at
    )
    return max(ends, default=None)


def _require_room(alive: Sequence[ClientSecret], overlap: timedelta, now: datetime) -> None:
    """Raise RATE_LIMITED when too many secrets would work at once."""
    if len(alive) < MAX_LIVE_SECRETS or not overlap:
        return
    ends = min((secret.expires_at for secret in alive if secret.expires_at), default=now + overlap)
    raise TokenServiceError(
        Reason.RATE_LIMITED, "too many secrets work already", retry_after=ends - now
    )


def _require_collectable(client: Client) -> None:
    if client.state in (ClientState.PENDING, ClientState.REJECTED):
        raise TokenServiceError(Reason.CLIENT_NOT_APPROVED, "the client is not approved")
    if client.state is ClientState.DISABLED:
        raise TokenServiceError(Reason.CLIENT_DISABLED, "the client is disabled")
    if client.registration_spent or _used(client):
        raise _collected()


def _used(client: Client) -> bool:
    return any(secret.first_used_at is not None for secret in client.secrets)


def _collected() -> TokenServiceError:
    return TokenServiceError(
        Reason.CREDENTIALS_COLLECTED, "the credentials were collected and used"
    )


def _invalid() -> TokenServiceError:
    return TokenServiceError(Reason.CREDENTIALS_INVALID, "wrong client id or registration secret")
