"""A node with everything that administration touches: real stores, real crypto, a clock of ours."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.integration.postgres_world import NOW
from token_service.adapters.crypto.access_tokens import AccessTokenFactory
from token_service.adapters.crypto.client_secrets import PepperedSecrets
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.crypto.keyring import Keyring
from token_service.adapters.crypto.mint import Mint
from token_service.adapters.crypto.passwords import Argon2Cost, Argon2Passwords
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.adapters.postgres.keys.store import KeyStore
from token_service.adapters.postgres.login.attempts import Attempts
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.sessions.store import SessionStore
from token_service.adapters.postgres.trust import log as trust
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.adapters.postgres.users.store import UserStore
from token_service.adapters.system import SystemRandomness
from token_service.adapters.without_redis import NoCoarseLimit, OwnActivity, StoredSessionFacts
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.keys.schedule import KeyScheduleSettings
from token_service.domain.kinds import CredentialKind, Permission, Platform
from token_service.usecases.clients.authenticate_caller import AuthenticateCaller
from token_service.usecases.clients.bootstrap import BootstrapClient, ClientCredentials
from token_service.usecases.clients.cache import ClientCache
from token_service.usecases.clients.records import ClientRecords
from token_service.usecases.keys.maintenance import KeyMaintenance
from token_service.usecases.login.client import ClientCredential, VerifyClient
from token_service.usecases.login.issue import Issue, IssueRequest
from token_service.usecases.login.passwords import (
    PasswordCredential,
    PasswordLimits,
    VerifyPassword,
)
from token_service.usecases.login.reauthenticate import Reauthenticate
from token_service.usecases.login.verifiers import Verifiers
from token_service.usecases.refusals import Refusals
from token_service.usecases.sessions.exchange import Exchange, ExchangeRequest, SessionRotation
from token_service.usecases.sessions.overview import SessionAccess
from token_service.usecases.shielding import Shield
from token_service.usecases.tokens.activity import ActivityRecorder
from token_service.usecases.tokens.identity_cache import IdentityCache
from token_service.usecases.tokens.token_limits import TokenLimits
from token_service.usecases.tokens.token_set import IssuedTokens, TokenSetMaker
from token_service.usecases.tokens.validate import Validate
from token_service.usecases.trust.feed import TrustFeed
from tokenservice.core import Requirement, Verdict

ISSUER = "https://tokens.test"
PASSWORD = "correct horse battery"
ADMIN = Caller(
    "root", ClientPolicy(permissions=frozenset(Permission)), request_id="r1", address="192.0.2.1"
)
OTHER_ADMIN = replace(ADMIN, client_id="second")
NOBODY = Caller("", request_id="r2", address="192.0.2.2")
APP = ClientPolicy(
    platforms=frozenset({Platform.WEB, Platform.MOBILE, Platform.API}),
    audiences=("orders", "billing"),
    scopes=frozenset({"orders.read", "orders.write"}),
    permissions=frozenset(
        {Permission.TOKENS_ISSUE, Permission.TOKENS_EXCHANGE, Permission.TOKENS_REVOKE}
    ),
    credentials=frozenset({CredentialKind.PASSWORD}),
)


class TestClock:
    """Stands still until it is moved (ports.Clock)."""

    __test__ = False

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def unix(self) -> float:
        return self.time.timestamp()

    def unix_at(self, boot: float) -> float:
        return boot  # readings are stamped with this clock

    def move(self, by: timedelta) -> None:
        self.time += by


@dataclass(eq=False)
class Node:
    """One node; several may share a database."""

    database: Database
    clock: TestClock = field(default_factory=TestClock)
    secret_keys: SecretKeys = field(
        default_factory=lambda: SecretKeys.parse(SecretKeys.generate_text())
    )
    settings: KeyScheduleSettings = field(default_factory=KeyScheduleSettings)
    issuer: str = ISSUER

    def __post_init__(self) -> None:
        self.random = SystemRandomness()
        self.shield = Shield()
        self.keyring = Keyring(self.secret_keys)
        self.secrets = PepperedSecrets(self.keyring, b"limiter" * 8)
        self.mint = Mint(self.keyring, self.issuer)
        self.tokens = AccessTokenFactory(self.keyring, self.issuer)
        self.hasher = Argon2Passwords(Argon2Cost(), threads=2, queue=32)
        self._stores()
        self._use_cases()

    def _stores(self) -> None:
        self.clients = ClientStore(self.database)
        self.users = UserStore(self.database)
        self.keys = KeyStore(self.database)
        self.sessions = SessionStore(self.database)
        self.revocations = RevocationStore(self.database)
        self.attempts = Attempts(self.database)

    def _use_cases(self) -> None:
        self.feed = TrustFeed(self.clock, self.issuer, 5.0)
        self.client_cache = ClientCache(self.clients)
        self.records = ClientRecords(self.clients, self.client_cache)
        self.maintenance = KeyMaintenance(
            self.keys, self.keyring, self.feed, self.clock, self.settings
        )
        self.feed.follow(
            self.refresh,
            self.maintenance.load,
            lambda reading: self.client_cache.advance(reading.config_version),
        )
        facts = StoredSessionFacts(self.sessions)
        activity = ActivityRecorder(self.sessions, OwnActivity(), self.clock)
        self.validate = Validate(
            tokens=self.tokens,
            sessions=facts,
            trust=self.feed,
            clock=self.clock,
            activity=activity,
            cache=IdentityCache(),
        )
        self.refusals = Refusals(self.attempts, self.secrets, self.clock)
        self.authenticate = AuthenticateCaller(
            client_cache=self.client_cache,
            store=self.clients,
            secrets=self.secrets,
            validate=self.validate,
            clock=self.clock,
            refusals=self.refusals,
        )
        self.access = SessionAccess(self.mint, self.sessions, self.clock)
        self.verify_password = VerifyPassword(
            users=self.users,
            hasher=self.hasher,
            attempts=self.attempts,
            coarse=NoCoarseLimit(),
            secrets=self.secrets,
            clock=self.clock,
            limits=PasswordLimits(),
        )
        verifiers = Verifiers(
            {
                ClientCredential: VerifyClient(self.clock),
                PasswordCredential: self.verify_password,
            }
        )
        self.limits = TokenLimits(self.tokens)
        maker = TokenSetMaker(self.mint, self.tokens, self.random)
        self.issue = Issue(
            client_cache=self.client_cache,
            verifiers=verifiers,
            sessions=self.sessions,
            maker=maker,
            mint=self.mint,
            clock=self.clock,
            random=self.random,
            shield=self.shield,
        )
        self.rotation = SessionRotation(
            client_cache=self.client_cache,
            mint=self.mint,
            sessions=self.sessions,
            revocations=self.revocations,
            trust=self.feed,
            maker=maker,
            clock=self.clock,
        )
        self.exchange = Exchange(self.rotation, self.shield)
        self.reauthenticate = Reauthenticate(self.rotation, verifiers, self.shield)

    async def refresh(self) -> None:
        """What the follower does, when it is told to, at the time of our clock."""
        since = self.feed.state.revision if self.feed.state.epoch else 0
        async with self.database.transaction() as conn:
            reading = await trust.read(conn, since, boot=self.clock.unix, within=10.0)
        await self.feed.apply(reading)

    async def login(self, caller: Caller, username: str, password: str = PASSWORD) -> IssuedTokens:
        """A web session of a user."""
        credential = PasswordCredential(username, password)
        return await self.issue(caller, IssueRequest(credential=credential, platform=Platform.WEB))

    async def own_session(self, caller: Caller) -> IssuedTokens:
        """A session of the client itself."""
        return await self.issue(
            caller, IssueRequest(credential=ClientCredential(), platform=Platform.API)
        )

    async def exchanges(self, caller: Caller, tokens: IssuedTokens) -> bool:
        """Whether the session token can be exchanged now."""
        try:
            await self.exchange(caller, ExchangeRequest(token=tokens.session_token))
        except TokenServiceError as error:
            if error.reason is not Reason.TOKEN_REVOKED:
                raise
            return False
        return True

    async def verdict(self, tokens: IssuedTokens) -> Verdict:
        """What this node says of the first access token."""
        access = tokens.access_tokens[0]
        answer = await self.validate.judge(access.token, Requirement(access.audience))
        return answer.verdict

    async def recognises(self, client_id: str, secret: str) -> bool:
        """Whether the credentials authenticate, with what this node has heard so far."""
        try:
            await self.authenticate(NOBODY, basic(client_id, secret))
        except TokenServiceError as error:
            if error.reason is not Reason.CALLER_UNAUTHENTICATED:
                raise
            return False
        return True

    async def client(self, client_id: str) -> Client:
        """The client as it is stored."""
        found = await self.clients.get(client_id)
        assert found is not None
        return found[0]

    async def app(self, client_id: str = "shop", policy: ClientPolicy = APP) -> Caller:
        """A client that is in use, as a caller."""
        credentials = await self.bootstrap(client_id, policy)
        assert await self.recognises(credentials.client_id, credentials.client_secret)
        return Caller(client_id, policy, request_id="r3", address="192.0.2.3")

    async def bootstrap(self, client_id: str, policy: ClientPolicy = APP) -> ClientCredentials:
        """A client with its secret, not used yet."""
        create = BootstrapClient(
            store=self.clients,
            secrets=self.secrets,
            clock=self.clock,
            random=self.random,
            limits=self.limits,
        )
        return await create(client_id, client_id, "", policy)

    async def audited(self, action: str, outcome: str = "%") -> int:
        """How many audit rows there are of an action."""
        row = await self.database.fetchrow(
            "SELECT count(*) FROM audit_log WHERE action = $1 AND outcome LIKE $2", action, outcome
        )
        assert row is not None
        return int(row[0])


def basic(client_id: str, secret: str) -> str:
    """An authorization value (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


@asynccontextmanager
async def started(dsn: str, **parts: Any) -> AsyncIterator[Node]:
    """A node with its keys, up to date."""
    database = await Database.open(dsn, size=8, call_timeout=30)
    try:
        node = Node(database, **parts)
        await node.maintenance.ensure(node.clock.now())
        await node.refresh()
        yield node
        await node.shield.drain()
        await node.revocations.close()
        node.hasher.close()
    finally:
        await database.close()
