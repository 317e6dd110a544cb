"""Registration, review, and administration of clients, on a real database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.support.node import (
    ADMIN,
    APP,
    NOBODY,
    OTHER_ADMIN,
    Node,
    started,
)
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, Permission, Platform
from token_service.usecases.clients.administration import ClientAdministration, Review, ReviewClient
from token_service.usecases.clients.registration import RegisterClient, Registration
from tokenservice.core import Verdict

REQUEST = Registration("Web Shop", "shop@example.test", APP)


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as running:
        yield running


@pytest.fixture
def register(node: Node) -> RegisterClient:
    return node.usecases.clients.register


@pytest.fixture
def review(node: Node) -> ReviewClient:
    return node.usecases.clients.review


@pytest.fixture
def administer(node: Node) -> ClientAdministration:
    return node.usecases.clients.administration


def refusal(error: pytest.ExceptionInfo[TokenServiceError]) -> Reason:
    return error.value.reason


async def test_a_registration_waits_for_its_review(node: Node, register: RegisterClient) -> None:
    registered = await register(NOBODY, REQUEST)
    client = await node.client(registered.client.client_id)
    assert client.state is ClientState.PENDING
    assert client.policy == APP
    assert client.registered_by == ""
    assert client.client_id.startswith("web-shop-")
    assert not await node.recognises(client.client_id, registered.registration_secret)
    assert await node.audited("client.register") == 1


async def test_what_is_stored_of_a_registration_is_no_secret(
    node: Node, register: RegisterClient
) -> None:
    registered = await register(NOBODY, REQUEST)
    rows = await node.database.fetch(
        "SELECT c::text FROM clients c UNION ALL SELECT a::text FROM audit_log a"
    )
    assert rows
    assert not any(registered.registration_secret in row[0] for row in rows)


async def test_registrations_alike_are_clients_apart(register: RegisterClient) -> None:
    one, other = await asyncio.gather(register(NOBODY, REQUEST), register(NOBODY, REQUEST))
    assert one.client.client_id != other.client.client_id
    assert one.registration_secret != other.registration_secret


async def test_closed_registration_needs_the_permission(node: Node) -> None:
    register = node.under(open_registration=False).usecases.clients.register
    with pytest.raises(TokenServiceError) as refused:
        await register(NOBODY, REQUEST)
    assert refusal(refused) is Reason.PERMISSION_MISSING
    assert (await register(ADMIN, REQUEST)).client.registered_by == "root"


async def test_an_impossible_policy_is_refused_and_nothing_stored(
    node: Node, register: RegisterClient
) -> None:
    with pytest.raises(TokenServiceError) as refused:
        await register(NOBODY, replace(REQUEST, policy=replace(APP, audiences=("a b",))))
    assert refused.value.field == "policy.audiences"
    assert await node.audited("client.register") == 0


async def test_a_reviewer_decides_on_the_policy(
    register: RegisterClient, review: ReviewClient
) -> None:
    asked = replace(APP, permissions=frozenset(Permission))
    registered = await register(NOBODY, replace(REQUEST, policy=asked))
    client_id = registered.client.client_id
    approved = await review(ADMIN, Review(client_id, approve=True, note="less", policy=APP))
    assert approved.client.state is ClientState.APPROVED
    assert approved.client.policy == APP
    assert approved.client.reviewed_by == "root"
    assert approved.client.review_note == "less"


async def test_nobody_reviews_what_they_registered(
    register: RegisterClient, review: ReviewClient, node: Node
) -> None:
    registered = await register(ADMIN, REQUEST)
    client_id = registered.client.client_id
    for approve in (True, False):
        with pytest.raises(TokenServiceError) as refused:
            await review(ADMIN, Review(client_id, approve=approve))
        assert refusal(refused) is Reason.SELF_REVIEW
    assert (await node.client(client_id)).state is ClientState.PENDING
    assert (await review(OTHER_ADMIN, Review(client_id, approve=True))).client.policy == APP


async def test_a_review_needs_its_permission_and_a_client(review: ReviewClient) -> None:
    with pytest.raises(TokenServiceError) as refused:
        await review(Caller("shop", APP), Review("anything", approve=True))
    assert refusal(refused) is Reason.PERMISSION_MISSING
    with pytest.raises(TokenServiceError) as refused:
        await review(ADMIN, Review("anything", approve=True))
    assert refusal(refused) is Reason.CLIENT_NOT_FOUND


async def test_of_many_reviewers_one_decides(
    register: RegisterClient, review: ReviewClient, node: Node
) -> None:
    client_id = (await register(NOBODY, REQUEST)).client.client_id
    outcomes = await asyncio.gather(
        *(review(ADMIN, Review(client_id, approve=bool(turn % 2))) for turn in range(12)),
        return_exceptions=True,
    )
    decided = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, TokenServiceError)]
    assert len(decided) == 1
    assert len(refused) == 11
    assert {error.reason for error in refused} == {Reason.CLIENT_STATE}
    assert (await node.client(client_id)).state is decided[0].client.state
    assert await node.audited("client.review") == 1


async def test_a_rejected_client_stays_dead(
    register: RegisterClient, review: ReviewClient, administer: ClientAdministration
) -> None:
    client_id = (await register(NOBODY, REQUEST)).client.client_id
    rejected = await review(ADMIN, Review(client_id, approve=False, note="unknown party"))
    assert rejected.client.state is ClientState.REJECTED
    steps = (
        review(ADMIN, Review(client_id, approve=True)),
        administer.enable(ADMIN, client_id, ""),
        administer.disable(ADMIN, client_id, ""),
        administer.update_policy(ADMIN, client_id, APP, ""),
    )
    for step in steps:
        with pytest.raises(TokenServiceError) as refused:
            await step
        assert refusal(refused) is Reason.CLIENT_STATE


async def test_a_pending_client_is_not_enabled_past_its_review(
    register: RegisterClient, administer: ClientAdministration
) -> None:
    client_id = (await register(NOBODY, REQUEST)).client.client_id
    for step in (administer.enable, administer.disable):
        with pytest.raises(TokenServiceError) as refused:
            await step(ADMIN, client_id, "")
        assert refusal(refused) is Reason.CLIENT_STATE


async def test_a_disabled_client_and_its_sessions_end_at_once(
    node: Node, administer: ClientAdministration
) -> None:
    credentials = await node.bootstrap("shop")
    assert await node.recognises("shop", credentials.client_secret)
    caller = Caller("shop", APP)
    tokens = await node.own_session(caller)
    assert await node.verdict(tokens) is Verdict.ACTIVE

    disabled = await administer.disable(ADMIN, "shop", "stolen laptop")
    assert disabled.client.state is ClientState.DISABLED
    assert node.parts.trust.state.revision == disabled.revision
    assert not await node.recognises("shop", credentials.client_secret)
    assert await node.verdict(tokens) is Verdict.REVOKED
    assert not await node.exchanges(caller, tokens)
    with pytest.raises(TokenServiceError) as refused:
        await node.own_session(caller)
    assert refusal(refused) is Reason.CLIENT_DISABLED

    again = await administer.disable(ADMIN, "shop", "")
    assert again.revision == disabled.revision
    assert await node.audited("client.disable") == 1

    enabled = await administer.enable(ADMIN, "shop", "found")
    assert enabled.client.state is ClientState.ACTIVE
    assert await node.recognises("shop", credentials.client_secret)
    assert not await node.exchanges(caller, tokens)
    assert await node.verdict(tokens) is Verdict.REVOKED
    assert await node.verdict(await node.own_session(caller)) is Verdict.ACTIVE


async def test_a_narrower_policy_reissues_and_a_wider_one_does_not(
    node: Node, administer: ClientAdministration
) -> None:
    caller = await node.app()
    tokens = await node.own_session(caller)
    wider = replace(APP, scopes=APP.scopes | {"orders.refund"})
    await administer.update_policy(ADMIN, "shop", wider, "")
    await node.refresh()
    assert await node.verdict(tokens) is Verdict.ACTIVE

    narrower = replace(APP, scopes=frozenset({"orders.read"}))
    changed = await administer.update_policy(ADMIN, "shop", narrower, "too much")
    assert changed.client.policy == narrower
    assert await node.verdict(tokens) is Verdict.EXPIRED
    assert await node.exchanges(caller, tokens)


async def test_a_new_policy_holds_on_this_node_at_once(
    node: Node, administer: ClientAdministration
) -> None:
    policy = replace(APP, platforms=frozenset({Platform.WEB}))
    caller = await node.app(policy=policy)
    with pytest.raises(TokenServiceError) as refused:
        await node.own_session(caller)
    assert refusal(refused) is Reason.PLATFORM_NOT_ALLOWED
    await administer.update_policy(ADMIN, "shop", APP, "")
    assert await node.verdict(await node.own_session(caller)) is Verdict.ACTIVE


async def test_permissions_are_added_by_someone_else(
    node: Node,
    register: RegisterClient,
    review: ReviewClient,
    administer: ClientAdministration,
) -> None:
    clerk = ClientPolicy(permissions=frozenset({Permission.ADMIN_CLIENTS}))
    caller = await node.app("clerk", clerk)
    registered = await register(caller, REQUEST)
    own = registered.client.client_id
    await review(ADMIN, Review(own, approve=True))
    everything = ClientPolicy(permissions=frozenset(Permission))
    for client_id in ("clerk", own):
        with pytest.raises(TokenServiceError) as refused:
            await administer.update_policy(caller, client_id, everything, "")
        assert refusal(refused) is Reason.SELF_REVIEW
    await administer.update_policy(caller, own, ClientPolicy(), "less is allowed")
    changed = await administer.update_policy(ADMIN, own, everything, "")
    assert changed.client.policy == everything


async def test_a_client_does_not_enable_itself(
    node: Node, administer: ClientAdministration
) -> None:
    clerk = ClientPolicy(permissions=frozenset({Permission.ADMIN_CLIENTS}))
    caller = await node.app("clerk", clerk)
    assert (await administer.enable(caller, "clerk", "")).client.state is ClientState.ACTIVE
    await administer.disable(ADMIN, "clerk", "")
    late = await administer.enable(caller, "clerk", "was on its way")
    assert late.client.state is ClientState.DISABLED
    assert (await node.client("clerk")).state is ClientState.DISABLED


async def test_a_client_sees_itself_and_only_administrators_see_others(
    node: Node, administer: ClientAdministration
) -> None:
    caller = await node.app()
    assert (await administer.get(caller, "")).client_id == "shop"
    assert (await administer.get(caller, "shop")).client_id == "shop"
    for client_id in ("other", "root"):
        with pytest.raises(TokenServiceError) as refused:
            await administer.get(caller, client_id)
        assert refusal(refused) is Reason.PERMISSION_MISSING
    with pytest.raises(TokenServiceError) as refused:
        await administer.get(ADMIN, "other")
    assert refusal(refused) is Reason.CLIENT_NOT_FOUND


async def test_clients_are_listed_page_by_page(
    node: Node, register: RegisterClient, administer: ClientAdministration
) -> None:
    for name in ("a", "b", "c"):
        await node.bootstrap(name)
    await register(NOBODY, REQUEST)
    first, token = await administer.page(ADMIN, ClientState.ACTIVE, 2, "")
    rest, end = await administer.page(ADMIN, ClientState.ACTIVE, 2, token)
    assert [client.client_id for client in (*first, *rest)] == ["a", "b", "c"]
    assert end == ""
    everyone, _ = await administer.page(ADMIN, None, 50, "")
    assert len(everyone) == 4
    assert [len(client.secrets) for client in everyone] == [1, 1, 1, 0]


async def test_administration_needs_its_permission(administer: ClientAdministration) -> None:
    caller = Caller("shop", APP)
    calls = (
        administer.disable(caller, "shop", ""),
        administer.enable(caller, "shop", ""),
        administer.page(caller, None, 50, ""),
        administer.update_policy(caller, "shop", APP, ""),
    )
    for call in calls:
        with pytest.raises(TokenServiceError) as refused:
            await call
        assert refusal(refused) is Reason.PERMISSION_MISSING
