"""A node as the server composes it, on a real database, with a clock that the test moves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tests.support.api import basic
from tests.support.clocks import NOW, StandingClock
from tests.support.waiting import PATIENCE
from tests.support.world import World
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust import log as trust
from token_service.app.database import require_usable
from token_service.app.parts import Parts
from token_service.app.usecases.compose import compose_usecases
from token_service.app.usecases.offline import bootstrap_client
from token_service.config import Settings
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import CredentialKind, Permission, Platform
from token_service.domain.login.authenticated import Authenticated
from token_service.usecases.clients.bootstrap import ClientCredentials
from token_service.usecases.login.client import ClientCredential
from token_service.usecases.login.issue import IssueRequest
from token_service.usecases.login.passwords import PasswordCredential
from token_service.usecases.login.verifiers import LoginAttempt
from token_service.usecases.sessions.exchange import ExchangeRequest
from token_service.usecases.tokens.token_set import IssuedTokens
from tokenservice.core import Requirement, Verdict

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


class Node:
    """One node; several may share a database.

    `parts` and `usecases` are those of the composition root. Nothing happens on it by itself: it
    hears of the trust log when it is told to (`refresh`), and time passes when it is moved.
    """

    def __init__(self, parts: Parts, clock: StandingClock) -> None:
        self.parts = parts
        self.clock = clock
        self.database = parts.database
        self.siblings: list[Node] = []
        self.usecases = compose_usecases(parts.settings, parts)

    @classmethod
    async def assembled(
        cls, settings: Settings, database: Database, clock: StandingClock
    ) -> "Node":
        """A node that knows nothing yet."""
        schema = await require_usable(database, settings)
        node = cls(Parts.assemble(settings, clock, database, database, schema), clock)
        node.parts.follow(node.refresh)
        return node

    def but(self, **parts: Any) -> "Node":
        """The same node with other parts, or other settings of its use cases."""
        return Node(replace(self.parts, **parts), self.clock)

    def under(self, **settings: Any) -> "Node":
        """The same node with use cases that are set otherwise."""
        return self.but(settings=self.parts.settings.model_copy(update=settings))

    async def sibling(self, *, up_to_date: bool = True, **settings: Any) -> "Node":
        """Another node on the same database, with keys and caches of its own."""
        changed = self.parts.settings.model_copy(update=settings)
        other = await Node.assembled(changed, self.database, self.clock)
        self.siblings.append(other)
        if up_to_date:
            await other.refresh()
        return other

    async def close(self) -> None:
        """Close it with its siblings."""
        for node in (*self.siblings, self):
            await node.parts.shield.drain()
            await node.parts.close()

    async def refresh(self) -> None:
        """What the follower does, when it is told to, at the time of our clock."""
        state = self.parts.trust.state
        since = state.revision if state.epoch else 0
        async with self.database.transaction() as conn:
            reading = await trust.read(conn, since, boot=self.clock.unix, within=PATIENCE)
        # As if the primary had just beaten: this clock is not the one by which it would.
        await self.parts.trust.apply(replace(reading, beaten_boot=reading.sent_boot))

    async def login(self, caller: Caller, username: str, password: str = PASSWORD) -> IssuedTokens:
        """A web session of a user."""
        credential = PasswordCredential(username, password)
        request = IssueRequest(credential=credential, platform=Platform.WEB)
        return await self.usecases.login.issue(caller, request)

    async def verify(self, credential: object, attempt: LoginAttempt) -> Authenticated:
        """Who brings the credential."""
        return await self.usecases.login.verifiers.of(credential)(credential, attempt)

    async def own_session(self, caller: Caller) -> IssuedTokens:
        """A session of the client itself."""
        request = IssueRequest(credential=ClientCredential(), platform=Platform.API)
        return await self.usecases.login.issue(caller, request)

    async def exchanges(self, caller: Caller, tokens: IssuedTokens) -> bool:
        """Whether the session token can be exchanged now."""
        request = ExchangeRequest(token=tokens.session_token)
        try:
            await self.usecases.sessions.exchange(caller, request)
        except TokenServiceError as error:
            if error.reason is not Reason.TOKEN_REVOKED:
                raise
            return False
        return True

    async def verdict(self, tokens: IssuedTokens) -> Verdict:
        """What this node says of the first access token."""
        access = tokens.access_tokens[0]
        requirement = Requirement(access.audience)
        answer = await self.usecases.tokens.validate.judge(access.token, requirement)
        return answer.verdict

    async def recognises(self, client_id: str, secret: str) -> bool:
        """Whether the credentials authenticate, with what this node has heard so far."""
        credentials = basic(client_id, secret)
        try:
            await self.usecases.clients.authenticate_caller(NOBODY, credentials)
        except TokenServiceError as error:
            if error.reason is not Reason.CALLER_UNAUTHENTICATED:
                raise
            return False
        return True

    async def client(self, client_id: str) -> Client:
        """The client as it is stored."""
        found = await self.parts.clients.get(client_id)
        assert found is not None
        return found[0]

    async def app(self, client_id: str = "shop", policy: ClientPolicy = APP) -> Caller:
        """A client that is in use, as a caller."""
        credentials = await self.bootstrap(client_id, policy)
        assert await self.recognises(credentials.client_id, credentials.client_secret)
        return Caller(client_id, policy, request_id="r3", address="192.0.2.3")

    async def bootstrap(self, client_id: str, policy: ClientPolicy = APP) -> ClientCredentials:
        """A client with its secret, not used yet."""
        return await bootstrap_client(self.parts)(client_id, client_id, "", policy)

    async def audited(self, action: str, outcome: str = "%") -> int:
        """How many audit rows there are of an action."""
        row = await self.database.fetchrow(
            "SELECT count(*) FROM audit_log WHERE action = $1 AND outcome LIKE $2", action, outcome
        )
        assert row is not None
        return int(row[0])


@asynccontextmanager
async def started(
    dsn: str, *, clock: StandingClock | None = None, secret_keys: str = "", **settings: Any
) -> AsyncIterator[Node]:
    """A node with its keys, up to date."""
    world = World(dsn, None, secret_keys or SecretKeys.generate_text(), {}, "", "")
    database = await Database.open(dsn, size=8, call_timeout=PATIENCE)
    node = await Node.assembled(world.settings(**settings), database, clock or StandingClock(NOW))
    try:
        await node.parts.key_maintenance.ensure(node.clock.now())
        await node.refresh()
        yield node
    finally:
        await node.close()
