"""The flows that the service exists for, over the wire on real stores."""

import grpc
import pytest

from tests.support.api import exchange_id, reason_of
from tests.support.fixtures import StartApplication
from tests.support.world import World
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types


async def refused(call: object) -> str:
    """The reason with which the call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return reason_of(caught.value)


async def test_login_validate_exchange_revoke(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    async with (
        world.api(server.address, "demo-web") as web,
        world.api(server.address, "demo-gateway") as gateway,
    ):
        first = await web.login(world.username, world.password, audiences=["orders", "billing"])
        assert first.session_kind == types.TOKEN_KIND_WEB_SESSION
        assert [token.audience for token in first.access_tokens] == ["orders", "billing"]
        orders = first.access_tokens[0].token
        answer = await gateway.validate(orders, required_scopes=["orders.read"])
        assert answer.verdict == types.VERDICT_ACTIVE
        assert answer.http_status == 200
        assert answer.principal.session_id == first.session_id
        assert list(answer.principal.scopes) == ["billing.read", "orders.read", "orders.write"]
        assert await gateway.verdict(orders, "billing") == "WRONG_AUDIENCE"

        once = exchange_id()
        second = await web.exchange(first.session_token, once)
        again = await web.exchange(first.session_token, once)
        assert again.replayed
        assert again.tokens.session_token == second.tokens.session_token
        assert not second.replayed

        assert await refused(web.exchange(first.session_token, exchange_id())) == "TOKEN_REUSED"
        assert await refused(web.exchange(second.tokens.session_token)) == "TOKEN_REVOKED"
        assert await gateway.verdict(orders) == "REVOKED"
        assert await gateway.verdict(second.tokens.access_tokens[0].token) == "REVOKED"


async def test_opaque_access_tokens(world: World, start_application: StartApplication) -> None:
    server = await start_application()
    async with (
        world.api(server.address, "demo-opaque") as app,
        world.api(server.address, "demo-gateway") as gateway,
    ):
        tokens = await app.login(world.username, world.password, audiences=["orders"])
        access = tokens.access_tokens[0]
        assert access.format == types.ACCESS_FORMAT_OPAQUE
        answer = await gateway.validate(access.token, required_scopes=["orders.write"])
        assert answer.verdict == types.VERDICT_ACTIVE
        assert answer.principal.acr == "aal1"
        await app.revoke(token=tokens.session_token)
        assert await gateway.verdict(access.token) == "REVOKED"


async def test_the_rolling_scheme(world: World, start_application: StartApplication) -> None:
    server = await start_application()
    async with (
        world.api(server.address, "demo-rolling") as app,
        world.api(server.address, "demo-gateway") as gateway,
    ):
        tokens = await app.login(world.username, world.password)
        assert [access.audience for access in tokens.access_tokens] == ["orders"]
        assert tokens.session_token == ""
        both = app.login(world.username, world.password, audiences=["orders", "billing"])
        assert await refused(both) == "FIELD_INVALID"
        rolling = tokens.access_tokens[0]
        assert rolling.exchange_until.seconds > rolling.expires_at.seconds
        assert await gateway.verdict(rolling.token) == "ACTIVE"
        once = exchange_id()
        first = await app.exchange(rolling.token, once)
        again = await app.exchange(rolling.token, once)
        assert again.tokens.access_tokens[0].token == first.tokens.access_tokens[0].token
        assert await gateway.verdict(rolling.token) == "ACTIVE"
        assert await refused(app.exchange(rolling.token)) == "TOKEN_REUSED"
        assert await gateway.verdict(rolling.token) == "REVOKED"


async def test_a_client_calls_with_a_token_of_its_own_session(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    async with world.api(server.address, "demo-api") as app:
        issued = await app.tokens.Issue(
            pb.IssueRequest(
                client=pb.ClientCredential(),
                platform=types.PLATFORM_API,
                audiences=["token-service"],
            ),
            metadata=app.metadata,
        )
        app.metadata = (("authorization", f"Bearer {issued.tokens.access_tokens[0].token}"),)
        own = pb.IssueRequest(client=pb.ClientCredential(), audiences=["token-service"])
        assert await refused(app.tokens.Issue(own, metadata=app.metadata)) == (
            "CREDENTIAL_NOT_ALLOWED"
        )
        exchanged = await app.exchange(issued.tokens.session_token)
        assert exchanged.tokens.session_kind == types.TOKEN_KIND_API_SESSION
        await app.revoke(client_id="demo-api")
        assert await refused(app.exchange(exchanged.tokens.session_token)) == (
            "CALLER_UNAUTHENTICATED"
        )


async def test_step_up(world: World, start_application: StartApplication) -> None:
    from datetime import timedelta

    from google.protobuf.duration_pb2 import Duration

    server = await start_application()
    async with (
        world.api(server.address, "demo-web") as web,
        world.api(server.address, "demo-gateway") as gateway,
    ):
        tokens = await web.login(world.username, world.password)
        server.clock.advance(timedelta(minutes=11))
        renewed = await web.exchange(tokens.session_token)
        fresh = Duration(seconds=600)
        answer = await gateway.validate(
            renewed.tokens.access_tokens[0].token,
            renewed.tokens.access_tokens[0].audience,
            max_auth_age=fresh,
        )
        assert answer.verdict == types.VERDICT_STEP_UP_REQUIRED
        assert answer.http_status == 401
        assert 'error="insufficient_user_authentication"' in answer.www_authenticate
        assert "max_age=600" in answer.www_authenticate.replace('"', "")
        credential = pb.PasswordCredential(username=world.username, password=world.password)
        stepped = await web.tokens.Reauthenticate(
            pb.ReauthenticateRequest(
                token=renewed.tokens.session_token, password=credential, exchange_id=exchange_id()
            ),
            metadata=web.metadata,
        )
        access = stepped.tokens.access_tokens[0]
        assert await gateway.verdict(access.token, access.audience, max_auth_age=fresh) == "ACTIVE"
