"""Names over the wire: what is not seen is no part of a new one, and old ones go on working."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.integration.test_admin_services import refused_field
from tests.support.api import Api
from tests.support.fixtures import LocalServer, StartApplication
from tests.support.world import World
from tokenservice.v1 import client_service_pb2 as client_pb
from tokenservice.v1 import session_service_pb2 as session_pb
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as user_pb

PASSWORD = "correct horse battery"
# A filler, a blank picture, a variation selector, a joiner, a tag, and a mark on nothing.
HIDDEN = ("ada\u3164", "ada\u2800", "a\ufe0fda", "a\u200dda", "ada\U000e0041", "\u0301da")


@pytest.fixture
async def server(start_application: StartApplication) -> LocalServer:
    return await start_application()


@pytest.fixture
async def admin(world: World, server: LocalServer) -> AsyncIterator[Api]:
    async with world.api(server.address, "demo-admin") as api:
        yield api


async def test_new_names_have_nothing_that_is_not_seen(admin: Api) -> None:
    for name in HIDDEN:
        user = user_pb.CreateUserRequest(username=name, password=PASSWORD)
        create = admin.users.CreateUser(user, metadata=admin.metadata)
        assert await refused_field(create) == "username"
        client = client_pb.RegisterClientRequest(name=name, contact="ada@example.com")
        assert await refused_field(admin.clients.RegisterClient(client)) == "name"
        client = client_pb.RegisterClientRequest(name="Ada", contact=name)
        assert await refused_field(admin.clients.RegisterClient(client)) == "contact"
    request = client_pb.RegisterClientRequest(name="\uff21da\u00a0Shop", contact="ada@example.com")
    made = await admin.clients.RegisterClient(request)
    found = await admin.clients.GetClient(
        client_pb.GetClientRequest(client_id=made.client_id), metadata=admin.metadata
    )
    assert found.client.name == "Ada Shop"


async def test_a_user_who_has_such_a_name_goes_on_with_it(
    world: World, server: LocalServer, admin: Api
) -> None:
    request = user_pb.CreateUserRequest(username="ada", password=PASSWORD, roles=["sales"])
    user_id = (await admin.users.CreateUser(request, metadata=admin.metadata)).user.user_id
    stored = "ada\u1160"  # the canonical spelling of the filler
    conn = await asyncpg.connect(world.dsn)
    await conn.execute("UPDATE users SET username = $2 WHERE user_id = $1", user_id, stored)
    await conn.close()
    async with world.api(server.address, "demo-web") as web:
        assert (await web.login("Ada\u3164", PASSWORD)).session_token
    found = await admin.users.GetUser(
        user_pb.GetUserRequest(username="ADA\uffa0"), metadata=admin.metadata
    )
    assert (found.user.user_id, found.user.username) == (user_id, stored)
    await admin.users.DeleteUser(
        user_pb.DeleteUserRequest(user_id=user_id), metadata=admin.metadata
    )


async def test_a_device_is_shown_without_what_is_not_seen(
    world: World, server: LocalServer
) -> None:
    device = types.Device(
        device_id="d", name="Ada\u2019s\u00a0PC\u3164\u200b", user_agent="x\u2060/1"
    )
    async with world.api(server.address, "demo-web") as web:
        tokens = await web.login(world.username, world.password, device=device)
        listed = await web.sessions.ListSessions(
            session_pb.ListSessionsRequest(session_token=tokens.session_token),
            metadata=web.metadata,
        )
    shown = next(one.device for one in listed.sessions if one.session_id == tokens.session_id)
    assert (shown.name, shown.user_agent) == ("Ada\u2019s PC", "x/1")
