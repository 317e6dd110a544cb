"""What attackers are told, what the log says of them, and what an administrator sees of it."""

import grpc
import pytest
from structlog.testing import capture_logs

from tests.support.api import Api, basic, reason_of
from tests.support.fixtures import StartApplication
from tests.support.world import World
from token_service.usecases.login.passwords import PasswordLimits
from tokenservice.v1 import client_service_pb2 as client_pb
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as user_pb

WRONG = "canary-password"
BROWSER = types.Device(ip_address="203.0.113.7")


def credential(world: World, password: str = "", otp_code: str = "") -> pb.PasswordCredential:
    return pb.PasswordCredential(
        username=world.username, password=password or world.password, otp_code=otp_code
    )


async def error_of(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value


async def test_a_code_of_no_factor_logs_nobody_in(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    async with world.api(server.address, "demo-web") as web:

        def issue(**given: str) -> object:
            request = pb.IssueRequest(
                password=credential(world, **given), platform=types.PLATFORM_WEB
            )
            return web.tokens.Issue(request, metadata=web.metadata)

        coded = await error_of(issue(otp_code="123456"))
        wrong = await error_of(issue(password=WRONG))
        assert reason_of(coded) == reason_of(wrong) == "CREDENTIALS_INVALID"
        assert coded.details() == wrong.details()
        issued = (await issue()).tokens  # type: ignore[misc]
        step_up = pb.ReauthenticateRequest(
            token=issued.session_token, password=credential(world, otp_code="123456")
        )
        refused = await error_of(web.tokens.Reauthenticate(step_up, metadata=web.metadata))
        assert reason_of(refused) == "CREDENTIALS_INVALID"
        again = pb.ExchangeRequest(token=issued.session_token)
        assert (await web.tokens.Exchange(again, metadata=web.metadata)).tokens.session_token


async def test_a_locked_user_is_logged_and_shown(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    async with (
        world.api(server.address, "demo-web") as web,
        world.api(server.address, "demo-admin") as admin,
    ):
        request = pb.IssueRequest(
            password=credential(world, WRONG), platform=types.PLATFORM_WEB, device=BROWSER
        )
        with capture_logs() as lines:
            for _ in range(PasswordLimits().pair + 1):
                await error_of(web.tokens.Issue(request, metadata=web.metadata))
        shown = (
            await admin.users.GetUser(
                user_pb.GetUserRequest(username=world.username), metadata=admin.metadata
            )
        ).user
    refusals = [line for line in lines if line.get("method", "").endswith("/Issue")]
    assert [line["reason"] for line in refusals] == ["CREDENTIALS_INVALID"] * 10 + [
        "ACCOUNT_LOCKED"
    ]
    first = refusals[0]
    assert (first["subject"], first["reported"], first["address"], first["caller"]) == (
        shown.user_id,
        "203.0.113.7",
        "127.0.0.1",
        "demo-web",
    )
    assert refusals[-1]["account"] == first["account"]
    assert WRONG not in str(lines)
    assert world.username not in str(refusals)
    attempts = shown.login_attempts
    assert (attempts.failed, attempts.locked_addresses) == (10, 1)
    assert attempts.HasField("addresses_locked_until")
    assert not attempts.HasField("locked_until")


async def test_wrong_client_credentials_are_logged_with_their_address(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    async with Api(server.address, basic("demo-web", WRONG)) as mallory:
        with capture_logs() as lines:
            call = mallory.clients.GetClient(
                client_pb.GetClientRequest(), metadata=mallory.metadata
            )
            assert reason_of(await error_of(call)) == "CALLER_UNAUTHENTICATED"
    (line,) = (line for line in lines if line.get("method", "").endswith("/GetClient"))
    assert (line["reason"], line["address"]) == ("CALLER_UNAUTHENTICATED", "127.0.0.1")
    assert WRONG not in str(lines)
