"""What the model speaks of: clients, users, sessions, tokens and entries of the trust log."""

from dataclasses import dataclass, field

from tokenservice.core import KeyState, Platform, TokenKind, TrustEffect, TrustEntryKind

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
AUDIENCES = ("orders", "billing")
SERVICE = "token-service"
SCOPES = frozenset({"orders.read", "orders.write", "billing.read"})
ROLES = {
    "sales": frozenset({"orders.read", "orders.write"}),
    "accounting": frozenset({"billing.read"}),
}
ACCESS_LIFE, ROLLING_LIFE = 5 * MINUTE, 15 * MINUTE
ACTIVITY_INTERVAL = MINUTE
PASSWORD_AGE = 10 * MINUTE
GATEWAY, ADMIN = "demo-gateway", "demo-admin"
UNREADABLE = (KeyState.COMPROMISED, KeyState.RETIRED)
"""Keys whose tokens nobody can tell from forged ones any more."""


class Refused(Exception):  # noqa: N818 - an answer
    """The service refuses, for this reason."""


@dataclass
class Client:
    """A client and how long its sessions live."""

    client_id: str
    platform: Platform
    kind: TokenKind
    idle: float
    absolute: float
    window: float
    opaque: bool = False
    valid_rev: int = 0
    own_valid_rev: int = 0

    @property
    def life(self) -> float:
        """How long what it presents on calls lives."""
        return ROLLING_LIFE if self.kind is TokenKind.ROLLING else ACCESS_LIFE


def demo_clients() -> dict[str, Client]:
    """The clients of the demo that have sessions."""
    web = (30 * MINUTE, 12 * HOUR, 10 * MINUTE)
    rolling = (30 * DAY, 180 * DAY, 10 * MINUTE)
    clients = (
        Client("demo-web", Platform.WEB, TokenKind.WEB_SESSION, *web),
        Client("demo-opaque", Platform.WEB, TokenKind.WEB_SESSION, *web, opaque=True),
        Client("demo-rolling", Platform.WEB, TokenKind.ROLLING, *rolling),
        Client("demo-mobile", Platform.MOBILE, TokenKind.MOBILE_SESSION, 30 * DAY, 180 * DAY, DAY),
        Client("demo-api", Platform.API, TokenKind.API_SESSION, DAY, 30 * DAY, DAY),
    )
    return {client.client_id: client for client in clients}


@dataclass
class User:
    """A user of our own store."""

    user_id: str
    username: str
    password: str
    roles: frozenset[str]
    disabled: bool = False
    valid_rev: int = 0

    @property
    def scopes(self) -> frozenset[str]:
        """What the roles give."""
        return frozenset().union(*(ROLES[role] for role in self.roles))


@dataclass(eq=False)
class Session:
    """A session; `made_by` is the id of the exchange that made the current generation."""

    client: Client
    user: User | None
    audiences: tuple[str, ...]
    scopes: frozenset[str]
    device: str
    rev: int
    auth_time: float
    rotated_at: float
    last_active: float
    idle_at: float
    absolute_at: float
    mint_kid: str
    roles: frozenset[str]
    session_id: str = ""
    generation: int = 1
    made_by: bytes = b""
    made_for: str = ""
    revoked: bool = False
    gone: bool = False
    used_at: float | None = None
    rests_until: float = 0.0
    roles_by_generation: dict[int, frozenset[str]] = field(default_factory=dict)
    authorities: dict[int, str] = field(default_factory=dict)
    token_ids: dict[int, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """Whose session it is."""
        return self.client.client_id if self.user is None else self.user.user_id


@dataclass(eq=False)
class Credential:
    """What can be exchanged: a session token, or a rolling token's authority."""

    session: Session
    generation: int
    mint_kid: str


@dataclass(eq=False)
class Access:
    """What accompanies calls. `identified`: the service has seen it while its key verified."""

    session: Session
    generation: int
    audience: str
    scopes: frozenset[str]
    issued_at: int
    expires_at: int
    auth_time: int
    rev: int
    key_id: str
    token_id: str
    roles: frozenset[str]
    identified: bool = False


@dataclass
class Handout:
    """The tokens that the service must hand out now."""

    session: Session
    audiences: tuple[str, ...]
    scopes: frozenset[str]
    rev: int
    issued_at: int
    expires_at: int
    replayed: bool = False


@dataclass(frozen=True)
class Entry:
    """An entry of the trust log."""

    revision: int
    kind: TrustEntryKind
    id: str
    device: str
    effect: TrustEffect
