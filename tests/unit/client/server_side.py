"""The server's own decision, in this process: its keyring, its Validate, its encoder."""

from collections.abc import Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from tests.unit.crypto.builders import NOW, SECRETS, SESSION, in_state, loaded, new_key
from token_service.adapters.crypto.access_tokens import AccessTokenFactory
from token_service.adapters.crypto.keyring import Keyring
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.kinds import (
    Amr,
    KeyPurpose,
    KeyState,
    Permission,
    Platform,
    TokenKind,
)
from token_service.domain.sessions.session import Device, Session
from token_service.rpc.servicers.tokens import TokenServicer
from token_service.usecases.tokens.activity import ActivityRecorder
from token_service.usecases.tokens.identity_cache import IdentityCache
from token_service.usecases.tokens.validate import Validate
from tokenservice.core import TrustEntry, TrustState
from tokenservice.v1 import token_service_pb2 as pb

ISSUER = "https://tokens.example"
EPOCH = "2b1c1d5e-0000-4000-8000-000000000001"

ALGORITHMS = ("EdDSA", "ES256", "HS256")
"""RSA keys take long to make."""

KEYS = {
    **{(alg, n): new_key(KeyPurpose.SIGNING, alg, number=n) for alg in ALGORITHMS for n in (1, 2)},
    **{("opaque", n): new_key(KeyPurpose.OPAQUE, number=n) for n in (1, 2)},
}
"""Two of each: tests put each into a state."""


def factory(name: str, number: int) -> AccessTokenFactory:
    """Makes tokens with one of the keys, whatever has become of it since."""
    return AccessTokenFactory(loaded(KEYS[name, number]), ISSUER)


def session(confirmation: bytes = b"") -> Session:
    """The session that opaque access tokens name."""
    return Session(
        session_id=UUID(SESSION),
        lookup_id=UUID(int=7),
        kind=TokenKind.WEB_SESSION,
        platform=Platform.WEB,
        client_id="web-shop",
        user_id=UUID(int=9),
        generation=3,
        mint_kid="00000000",
        exchange_hash=None,
        rev=5,
        acr=1,
        amr=Amr(1),
        auth_time=NOW,
        created_at=NOW,
        rotated_at=NOW,
        last_active_at=NOW,
        idle_seconds=1800,
        idle_expires_at=NOW,
        absolute_expires_at=NOW,
        audiences=("orders", "billing"),
        scopes=("orders.read", "orders.write"),
        roles=("sales",),
        device=Device(device_id="browser-1"),
        confirmation=confirmation,
    )


States = Mapping[tuple[str, int], KeyState]


class _Clock:
    """The server's clock, moved by hand."""

    def __init__(self, unix: float) -> None:
        self.seconds = unix

    def unix(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def unix_at(self, boot: float) -> float:
        return boot


class _Sessions:
    """One session."""

    def __init__(self, known: Session) -> None:
        self._known = known

    async def load(self, session_id: str, min_generation: int = 0) -> Session | None:
        found = session_id == str(self._known.session_id)
        return self._known if found and min_generation <= self._known.generation else None

    async def load_many(self, wanted: Mapping[str, int]) -> dict[str, Session]:
        loaded = {key: await self.load(key, least) for key, least in wanted.items()}
        return {key: session for key, session in loaded.items() if session is not None}


class _Trust:
    """A view that is always fresh."""

    def __init__(self) -> None:
        self.state = TrustState()

    def is_fresh(self, now: float | None = None) -> bool:
        del now
        return True

    async def require_fresh(self, min_revision: int = 0) -> None:
        pass

    async def reach(self, revision: int) -> None:
        pass


class ServerSide:
    """A server as far as Validate goes, with keys and a trust log that tests change."""

    def __init__(
        self,
        states: States,
        revision: int,
        entries: Iterable[TrustEntry],
        now: float,
        confirmation: bytes,
    ) -> None:
        self.clock = _Clock(now)
        self.keyring = Keyring(SECRETS)
        self.trust = _Trust()
        self._load(states)
        self.trust.state.apply_snapshot(
            EPOCH, ISSUER, revision, now, self.keyring.public_keys(), entries
        )
        activity = ActivityRecorder(cast("Any", None), cast("Any", None), self.clock)
        validate = Validate(
            tokens=AccessTokenFactory(self.keyring, ISSUER),
            sessions=_Sessions(session(confirmation)),
            trust=self.trust,
            clock=self.clock,
            activity=activity,
            cache=IdentityCache(),
        )
        unused = cast("Any", None)
        self._servicer = TokenServicer(unused, unused, unused, validate, unused)
        policy = ClientPolicy(
            permissions=frozenset({Permission.TOKENS_VALIDATE}),
            protects_audiences=frozenset({"orders", "billing", "nobody"}),
        )
        self._caller = Caller("gateway", policy)

    def change(
        self, states: States, revision: int, entries: Iterable[TrustEntry], now: float
    ) -> None:
        """Let time pass, keys change and entries come."""
        self.clock.seconds = now
        self._load(states)
        state = self.trust.state
        keys = self.keyring.public_keys()
        state.apply_delta(EPOCH, state.revision, revision, now, entries, keys)

    def answer(self, request: pb.ValidateRequest) -> pb.ValidateResponse:
        """What the RPC answers."""
        return pb.ValidateResponse.FromString(
            _finish(self._servicer.validate(self._caller, request))
        )

    def _load(self, states: States) -> None:
        self.keyring.load([in_state(KEYS[name], state) for name, state in states.items()])


def _finish(work: Coroutine[Any, Any, bytes]) -> bytes:
    """Run what waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("bytes", end.value)
    raise AssertionError("it waits")
