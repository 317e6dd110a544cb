"""The first administrator, and what the development mode starts with."""

from collections.abc import AsyncIterator

import pytest

from tests.support.node import ADMIN, APP, NOBODY, Node, started
from token_service.app.usecases.offline import bootstrap_client, seed_demo
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import AccessFormat, Permission, Platform, TokenKind
from token_service.usecases.clients.authenticate_caller import secret_alive
from token_service.usecases.clients.bootstrap import (
    ADMINISTRATOR,
    BootstrapClient,
    bootstrap_administrator,
)
from token_service.usecases.clients.registration import Registration
from token_service.usecases.demo import POLICIES, SCOPES, DemoCredentials, SeedDemo
from token_service.usecases.login.issue import IssueRequest
from token_service.usecases.login.passwords import PasswordCredential
from tokenservice.core import Verdict


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as running:
        yield running


@pytest.fixture
def create(node: Node) -> BootstrapClient:
    return bootstrap_client(node.parts)


@pytest.fixture
def seed(node: Node) -> SeedDemo:
    return seed_demo(node.parts)


async def test_the_first_administrator_can_do_everything(
    node: Node, create: BootstrapClient
) -> None:
    credentials = await bootstrap_administrator(create)
    assert credentials.client_id == "admin"
    assert await node.recognises("admin", credentials.client_secret)
    client = await node.client("admin")
    assert client.policy.permissions == frozenset(Permission)
    assert credentials.client_secret not in repr(credentials)
    assert await node.audited("client.bootstrap") == 1


async def test_a_lost_first_secret_is_replaced_and_a_used_one_is_not(
    node: Node, create: BootstrapClient
) -> None:
    lost = await bootstrap_administrator(create)
    found = await bootstrap_administrator(create)
    assert not await node.recognises("admin", lost.client_secret)
    assert await node.recognises("admin", found.client_secret)
    with pytest.raises(TokenServiceError) as refused:
        await bootstrap_administrator(create)
    assert refused.value.reason is Reason.CLIENT_STATE
    assert await node.recognises("admin", found.client_secret)
    second = await bootstrap_administrator(create, "second-admin")
    assert await node.recognises("second-admin", second.client_secret)


async def test_a_registered_client_is_not_taken_over(node: Node, create: BootstrapClient) -> None:
    register = node.usecases.clients.register
    registered = await register(NOBODY, Registration("shop", "shop@example.test", APP))
    with pytest.raises(TokenServiceError) as refused:
        await create(registered.client.client_id, "Shop", "", ADMINISTRATOR)
    assert refused.value.reason is Reason.CLIENT_STATE
    assert (await node.client(registered.client.client_id)).policy == APP


@pytest.mark.parametrize(
    ("client_id", "policy", "field"),
    [
        ("Not An Id", ADMINISTRATOR, "client_id"),
        ("admin", ClientPolicy(audiences=("a b",)), "policy.audiences"),
    ],
)
async def test_bootstrap_checks_what_it_is_given(
    create: BootstrapClient, client_id: str, policy: ClientPolicy, field: str
) -> None:
    with pytest.raises(TokenServiceError) as refused:
        await create(client_id, "name", "", policy)
    assert refused.value.field == field


async def test_everything_of_the_demo_can_be_used(node: Node, seed: SeedDemo) -> None:
    made = await seed(DemoCredentials())
    assert set(made.clients) == {
        "demo-web",
        "demo-mobile",
        "demo-api",
        "demo-rolling",
        "demo-opaque",
        "demo-gateway",
        "demo-admin",
    }
    await node.refresh()
    for client_id, secret in made.clients.items():
        assert await node.recognises(client_id, secret)
        assert (await node.client(client_id)).policy == POLICIES[client_id]
    logins = {
        "demo-web": (Platform.WEB, TokenKind.WEB_SESSION),
        "demo-mobile": (Platform.MOBILE, TokenKind.MOBILE_SESSION),
        "demo-api": (Platform.API, TokenKind.API_SESSION),
        "demo-rolling": (Platform.WEB, TokenKind.ROLLING),
        "demo-opaque": (Platform.WEB, TokenKind.WEB_SESSION),
    }
    for client_id, (platform, kind) in logins.items():
        caller = Caller(client_id, POLICIES[client_id])
        request = IssueRequest(
            credential=PasswordCredential("alice", made.users["alice"]),
            platform=platform,
            audiences=("orders",),
        )
        tokens = await node.usecases.login.issue(caller, request)
        assert tokens.session.kind is kind
        assert set(tokens.session.scopes) == SCOPES
        assert await node.verdict(tokens) is Verdict.ACTIVE
        opaque = tokens.access_tokens[0].format is AccessFormat.OPAQUE
        assert opaque is (client_id == "demo-opaque")
    for client_id in ("demo-admin", "demo-api"):
        own = await node.own_session(Caller(client_id, POLICIES[client_id]))
        assert await node.verdict(own) is Verdict.ACTIVE


async def test_a_second_start_keeps_everything(node: Node, seed: SeedDemo) -> None:
    first = await seed(DemoCredentials())
    rows = await node.database.fetch("SELECT count(*) FROM audit_log")
    again = await seed(first)
    assert again == first
    assert await node.database.fetch("SELECT count(*) FROM audit_log") == rows


async def test_what_was_changed_since_stays_as_it_is(node: Node, seed: SeedDemo) -> None:
    first = await seed(DemoCredentials())
    admin = node.usecases.clients.administration
    await admin.update_policy(ADMIN, "demo-web", APP, "")
    await admin.disable(ADMIN, "demo-api", "")
    await node.parts.users.define_role(
        "sales", ("orders.read",), ADMIN.audit(node.clock.now(), "x")
    )
    assert await seed(first) == first
    assert (await node.client("demo-web")).policy == APP
    assert (await node.parts.users.roles())["sales"] == ("orders.read",)
    assert not await node.recognises("demo-api", first.clients["demo-api"])


async def test_lost_credentials_are_made_anew(node: Node, seed: SeedDemo) -> None:
    first = await seed(DemoCredentials())
    await node.refresh()
    assert await node.recognises("demo-web", first.clients["demo-web"])
    known = {name: secret for name, secret in first.clients.items() if name != "demo-web"}
    repaired = await seed(DemoCredentials({**known, "demo-mobile": "tsk_cs_damaged"}, {}))
    for client_id in known.keys() - {"demo-mobile"}:
        assert repaired.clients[client_id] == first.clients[client_id]
    await node.refresh()
    for client_id in ("demo-web", "demo-mobile"):
        assert repaired.clients[client_id] != first.clients[client_id]
        assert await node.recognises(client_id, repaired.clients[client_id])
    assert not await node.recognises("demo-mobile", first.clients["demo-mobile"])
    assert await node.recognises("demo-web", first.clients["demo-web"])
    assert repaired.users["alice"] != first.users["alice"]
    caller = Caller("demo-web", POLICIES["demo-web"])
    tokens = await node.login(caller, "alice", repaired.users["alice"])
    assert await node.verdict(tokens) is Verdict.ACTIVE
    with pytest.raises(TokenServiceError) as refused:
        await node.login(caller, "alice", first.users["alice"])
    assert refused.value.reason is Reason.CREDENTIALS_INVALID


async def test_a_start_that_was_cut_off_is_finished_by_the_next(node: Node, seed: SeedDemo) -> None:
    await seed(DemoCredentials())
    await node.database.execute("DELETE FROM client_secrets WHERE client_id = 'demo-web'")
    await node.database.execute("DELETE FROM clients WHERE client_id = 'demo-gateway'")
    repaired = await seed(DemoCredentials())
    await node.refresh()
    for client_id, secret in repaired.clients.items():
        working = [
            one
            for one in (await node.client(client_id)).secrets
            if secret_alive(one, node.clock.now())
        ]
        assert len(working) == 1
        assert await node.recognises(client_id, secret)
