"""What the development mode starts with: clients of every kind, roles, and a user."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from types import MappingProxyType

from token_service.domain.audit import Actor, AuditEvent
from token_service.domain.clients.client import Client
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.kinds import (
    AccessFormat,
    ClientState,
    CredentialKind,
    Permission,
    Platform,
    TokenScheme,
)
from token_service.domain.ports import (
    ClientStore,
    Clock,
    PasswordHasher,
    Randomness,
    Secrets,
    UserStore,
)
from token_service.domain.users.user import User
from token_service.usecases.clients.authenticate_caller import secret_alive
from token_service.usecases.clients.bootstrap import BootstrapClient
from token_service.usecases.clients.credentials import DEFAULT_OVERLAP
from token_service.usecases.tokens.token_limits import TokenLimits
from tokenservice.core import MalformedToken
from tokenservice.core.tokens.opaque import CLIENT_SECRET_CODE

USERNAME = "alice"
AUDIENCES = ("orders", "billing")
SCOPES = frozenset({"orders.read", "orders.write", "billing.read"})
ROLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"sales": ("orders.read", "orders.write"), "accounting": ("billing.read",)}
)

_APP = ClientPolicy(
    audiences=AUDIENCES,
    scopes=SCOPES,
    permissions=frozenset(
        {
            Permission.TOKENS_ISSUE,
            Permission.TOKENS_EXCHANGE,
            Permission.TOKENS_REVOKE,
            Permission.PAIRING,
            Permission.SESSIONS_READ,
        }
    ),
    credentials=frozenset({CredentialKind.PASSWORD}),
)
_WEB = replace(_APP, platforms=frozenset({Platform.WEB}))
POLICIES: Mapping[str, ClientPolicy] = MappingProxyType(
    {
        "demo-web": replace(_WEB, may_pair_for=frozenset({"demo-mobile"})),
        "demo-mobile": replace(
            _APP, platforms=frozenset({Platform.MOBILE}), may_pair_for=frozenset({"demo-web"})
        ),
        "demo-api": replace(_APP, platforms=frozenset({Platform.API})),
        "demo-rolling": replace(_WEB, scheme=TokenScheme.ROLLING),
        "demo-opaque": replace(_WEB, access_format=AccessFormat.OPAQUE),
        "demo-gateway": ClientPolicy(
            protects_audiences=frozenset(AUDIENCES),
            permissions=frozenset(
                {Permission.TOKENS_VALIDATE, Permission.TRUST_WATCH, Permission.TOKENS_REVOKE}
            ),
        ),
        "demo-admin": ClientPolicy(
            platforms=frozenset({Platform.API}),
            audiences=AUDIENCES,
            scopes=SCOPES,
            protects_audiences=frozenset(AUDIENCES),
            permissions=frozenset(Permission),
        ),
    }
)


@dataclass(frozen=True, slots=True)
class DemoCredentials:
    """Client secrets by client id and passwords by username."""

    clients: Mapping[str, str] = field(default_factory=dict, repr=False)
    users: Mapping[str, str] = field(default_factory=dict, repr=False)


class SeedDemo:
    """Makes what is missing of the demo and keeps what is there, also what was changed since."""

    def __init__(
        self,
        *,
        clients: ClientStore,
        users: UserStore,
        secrets: Secrets,
        hasher: PasswordHasher,
        clock: Clock,
        random: Randomness,
        limits: TokenLimits,
    ) -> None:
        self._clients = clients
        self._users = users
        self._secrets = secrets
        self._hasher = hasher
        self._clock = clock
        self._random = random
        self._create = BootstrapClient(
            store=clients,
            secrets=secrets,
            clock=clock,
            random=random,
            limits=limits,
            actor=Actor.DEMO,
        )

    async def __call__(self, known: DemoCredentials) -> DemoCredentials:
        """The credentials with which everything of the demo can be used: those that are `known`
        from an earlier start, new ones where they are missing or no longer right."""
        await self._seed_roles()
        password = await self._seed_user(known.users.get(USERNAME, ""))
        secrets = dict(known.clients)
        for client_id, policy in POLICIES.items():
            secret = await self._seed_client(client_id, policy, secrets.get(client_id, ""))
            if secret:
                secrets[client_id] = secret
        return DemoCredentials(secrets, {**known.users, USERNAME: password})

    async def _seed_roles(self) -> None:
        existing = await self._users.roles()
        for role, scopes in ROLES.items():
            if role not in existing:
                await self._users.define_role(role, scopes, self._audit("role.define", role))

    async def _seed_user(self, known: str) -> str:
        found = await self._users.by_username(USERNAME)
        if found is not None and known:
            return known
        password = known or urlsafe_b64encode(self._random.bytes(15)).decode()
        password_hash = await self._hasher.hash(password)
        if found is not None:
            user_id = found[0].user_id
            audit = self._audit("user.set_password", str(user_id))
            await self._users.set_password(user_id, password_hash, keep_session=None, audit=audit)
            return password
        user = self._user(password_hash)
        await self._users.insert(user, self._audit("user.create", str(user.user_id)))
        return password

    def _user(self, password_hash: str) -> User:
        now = self._clock.now()
        return User(
            user_id=self._random.uuid(),
            username=USERNAME,
            password_hash=password_hash,
            credential_version=1,
            roles=tuple(sorted(ROLES)),
            scopes=frozenset(),
            version=1,
            disabled_at=None,
            valid_rev=0,
            created_at=now,
            updated_at=now,
        )

    async def _seed_client(self, client_id: str, policy: ClientPolicy, known: str) -> str:
        """The client's secret; empty for a client that was disabled and whose secret is lost."""
        found = await self._clients.get(client_id)
        if found is None:
            created = await self._create(client_id, client_id, "", policy)
            return created.client_secret
        client = found[0]
        if client.state is not ClientState.ACTIVE or self._authenticates(client, known):
            return known
        until = self._clock.now() + DEFAULT_OVERLAP
        unused = await self._create.new_secret(client_id)
        return unused or await self._create.new_secret(client_id, until) or ""

    def _authenticates(self, client: Client, known: str) -> bool:
        now = self._clock.now()
        try:
            return any(
                compare_digest(
                    self._secrets.hash(CLIENT_SECRET_CODE, known, one.pepper_id) or b"",
                    one.secret_hash,
                )
                for one in client.secrets
                if secret_alive(one, now)
            )
        except MalformedToken:
            return False

    def _audit(self, action: str, target: str) -> AuditEvent:
        return AuditEvent(
            at=self._clock.now(), actor=Actor.DEMO, action=action, outcome="ok", target=target
        )
