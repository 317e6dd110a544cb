"""Policies whose tokens could not be made are refused by everyone who sets one."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.support.fixtures import StartApplication
from tests.support.node import ADMIN, APP, NOBODY, started
from tests.support.world import World
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import AccessFormat, ClientState, TokenScheme
from token_service.usecases.clients.administration import Review
from token_service.usecases.clients.registration import RegisterClient, Registration
from tokenservice.core.limits import COOKIE_TOKEN_LENGTH
from tokenservice.v1 import client_service_pb2 as clients

REQUEST = Registration("Web Shop", "shop@example.test", APP)
HUGE = replace(
    APP,
    audiences=("a" * 128,),
    scopes=frozenset(f"{number:02d}".ljust(64, "s") for number in range(64)),
)


async def registered(register: RegisterClient, policy: ClientPolicy) -> str:
    return (await register(NOBODY, replace(REQUEST, policy=policy))).client.client_id


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (replace(APP, signing_algorithm="ES256"), "policy.signing_algorithm"),
        (
            replace(APP, signing_algorithm="RS256", access_format=AccessFormat.OPAQUE),
            "policy.signing_algorithm",
        ),
        (HUGE, "policy.scopes"),
        (replace(HUGE, scheme=TokenScheme.ROLLING), "policy.scopes"),
    ],
)
async def test_a_policy_whose_tokens_cannot_be_made_is_refused_when_it_is_set(
    dsn: str, policy: ClientPolicy, field: str
) -> None:
    async with started(dsn, issuer="i" * 255) as node:
        review = node.usecases.clients.review
        administer = node.usecases.clients.administration
        register = node.usecases.clients.register
        await node.app("shop")
        wished = await registered(register, policy)
        other = await registered(register, APP)
        for attempt in (
            administer.update_policy(ADMIN, "shop", policy, ""),
            review(ADMIN, Review(wished, approve=True)),  # what was asked for
            review(ADMIN, Review(other, approve=True, policy=policy)),
            node.bootstrap("fresh", policy),
        ):
            with pytest.raises(TokenServiceError) as refused:
                await attempt
            assert (refused.value.reason, refused.value.field) == (Reason.FIELD_INVALID, field)
        assert (await node.client("shop")).policy == APP
        for client_id in (wished, other):
            assert (await node.client(client_id)).state is ClientState.PENDING
        assert await node.parts.clients.get("fresh") is None
        # The reviewer decides: without what cannot be, it is let in, or it is turned away.
        await review(ADMIN, Review(wished, approve=True, policy=APP))
        await review(ADMIN, Review(other, approve=False))


async def test_a_policy_whose_tokens_no_cookie_holds_is_logged_and_told(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    async with world.api(server.address, "demo-admin") as admin:
        wanted = clients.GetClientRequest(client_id="demo-rolling")
        found = await admin.clients.GetClient(wanted, metadata=admin.metadata)
        assert 0 < found.client.longest_token <= COOKIE_TOKEN_LENGTH
        for warned in (False, True):
            policy = found.client.policy
            policy.scopes.extend(f"{number:02d}".ljust(60, "s") for number in range(30 * warned))
            request = clients.UpdateClientPolicyRequest(client_id="demo-rolling", policy=policy)
            with capture_logs() as logs:
                changed = await admin.clients.UpdateClientPolicy(request, metadata=admin.metadata)
            longest = changed.client.longest_token
            assert (longest > COOKIE_TOKEN_LENGTH) is warned
            told = [line for line in logs if line["event"] == "tokens_exceed_cookies"]
            assert [(line["client"], line["longest"]) for line in told] == [
                ("demo-rolling", longest)
            ] * warned
