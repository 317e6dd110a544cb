"""StartPairing: a screen gets a code to show."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import PairingDirection, PairingState, Permission
from token_service.domain.pairing.decision import PLATFORM_OF_CHILD, UNSCANNED_LIFE, Login, Pairing
from token_service.domain.pairing.qr_codes import CODES, dies_at, show_code
from token_service.domain.ports import Clock, PairingSecrets, PendingPairings, Randomness
from token_service.domain.sessions.grants import initial_grant
from token_service.domain.sessions.opening import require_may_open, user_audiences
from token_service.domain.sessions.session import UNKNOWN_DEVICE, Device, Session
from token_service.usecases.clients.cache import ClientCache
from token_service.usecases.login.passwords import fresh_at
from token_service.usecases.pairing.access import require_may_pair_for
from token_service.usecases.sessions.overview import SessionAccess


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """`client_id` is whose session it becomes (empty: the caller's). `session_token` is the PC's
    in the direction PAM."""

    direction: PairingDirection
    device: Device = UNKNOWN_DEVICE
    session_token: str = field(default="", repr=False)
    client_id: str = ""
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownCode:
    """A code as it is shown, until it dies."""

    code: str = field(repr=False)
    expires_at: datetime
    direction: PairingDirection


@dataclass(frozen=True, slots=True)
class Started:
    """What the starter gets."""

    pairing: Pairing
    watch_secret: str = field(repr=False)
    shown: ShownCode


class StartPairing:
    """Raises CLIENT_MISMATCH, CLIENT_NOT_FOUND, CLIENT_NOT_APPROVED, CLIENT_DISABLED,
    PLATFORM_NOT_ALLOWED, AUDIENCE_NOT_ALLOWED, SCOPE_NOT_ALLOWED, STEP_UP_REQUIRED, and what
    SessionAccess raises."""

    def __init__(
        self,
        *,
        client_cache: ClientCache,
        access: SessionAccess,
        pending: PendingPairings,
        secrets: PairingSecrets,
        clock: Clock,
        random: Randomness,
    ) -> None:
        self._client_cache = client_cache
        self._access = access
        self._pending = pending
        self._secrets = secrets
        self._clock = clock
        self._random = random

    async def __call__(self, caller: Caller, request: StartRequest) -> Started:
        """Open a pairing. It is in Redis alone, and nothing is lost when that forgets it."""
        caller.require(Permission.PAIRING)
        client_id = request.client_id or caller.client_id
        require_may_pair_for(caller, client_id)
        client, _ = await self._client_cache.require(client_id)
        require_may_open(client, PLATFORM_OF_CHILD[request.direction])
        _require_grantable(client, request)
        session = None
        if request.direction is PairingDirection.PAM:
            session = await session_of_user(self._access, caller, request.session_token)
        pairing, watch_secret = self._pairing(caller, request, client, session)
        codes = [self._secrets.code(pairing, watch_secret, number) for number in range(CODES)]
        hashes = tuple(self._secrets.code_hash(code, pairing.pepper_id) for code in codes)
        pairing = replace(pairing, code_hashes=hashes)
        await self._pending.put(pairing)
        code_ends_at = dies_at(pairing.started_at, 0)
        shown = ShownCode(show_code(codes[0]), code_ends_at, pairing.direction)
        return Started(pairing, watch_secret, shown)

    def _pairing(
        self, caller: Caller, request: StartRequest, client: Client, session: Session | None
    ) -> tuple[Pairing, str]:
        now = self._clock.now()
        direct = session is not None and client.policy.pam_direct
        if session is not None and direct:
            # Nobody is asked later: showing the code is the approval.
            require_recent(session, max_auth_age(caller.policy, client.policy), now)
        pairing_id = self._random.uuid()
        watch_secret, watch_hash, pepper_id = self._secrets.watch_secret(pairing_id)
        pairing = Pairing(
            pairing_id=pairing_id,
            direction=request.direction,
            direct=direct,
            client_id=client.client_id,
            starter_client=caller.client_id,
            pepper_id=pepper_id,
            watch_hash=watch_hash,
            audiences=request.audiences,
            scopes=request.scopes,
            starter=request.device,
            started_at=now,
            state=PairingState.PENDING,
            ends_at=now + UNSCANNED_LIFE,
            approver_session=session.session_id if session else None,
            login=login_of(session) if session and direct else None,
        )
        return pairing, watch_secret


def _require_grantable(client: Client, request: StartRequest) -> None:
    """Refuse now what the client could never be granted; what is granted is decided at the end."""
    initial_grant(
        request.audiences,
        request.scopes,
        client_audiences=user_audiences(client.policy),
        client_scopes=client.policy.scopes,
        user_scopes=None,
    )


async def session_of_user(access: SessionAccess, caller: Caller, token: str) -> Session:
    """The live session of a user whose current token this is; it is not consumed.

    Raises what SessionAccess raises, and CREDENTIAL_NOT_ALLOWED for a session without a user.
    """
    session = (await access.current(caller, token)).session
    if session.user_id is None:
        raise TokenServiceError(Reason.CREDENTIAL_NOT_ALLOWED, "the session has no user")
    return session


def max_auth_age(*policies: ClientPolicy) -> timedelta:
    """How old the login of an approving session may be: the shortest that a policy says."""
    return min(policy.pairing_max_auth_age for policy in policies)


def require_recent(session: Session, age: timedelta, now: datetime) -> None:
    """Raise STEP_UP_REQUIRED for a login that is older than `age`."""
    if not fresh_at(session.auth_time, age, now):
        raise TokenServiceError(Reason.STEP_UP_REQUIRED, "the login is too old to approve")


def login_of(session: Session) -> Login:
    """What the new session inherits."""
    return Login(session.auth_time, session.acr, session.amr)
