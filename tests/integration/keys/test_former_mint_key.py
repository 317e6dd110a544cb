"""A mint key that is out of use makes no more tokens, whoever still has it."""

from datetime import timedelta
from uuid import UUID

import grpc
import pytest

from tests.support.api import reason_of
from tests.support.fixtures import StartApplication
from tests.support.world import World
from tokenservice.core import TokenKind, parse_opaque, unpack_session
from tokenservice.v1 import key_service_pb2, session_service_pb2, types_pb2


async def test_a_token_of_the_former_key_is_not_the_current_one(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    parts = server.application.parts
    async with (
        world.api(server.address, "demo-web") as web,
        world.api(server.address, "demo-admin") as admin,
    ):
        first = await web.login(world.username, world.password)
        captured = unpack_session(parse_opaque(first.session_token).payload)
        await admin.keys.RotateKey(
            key_service_pb2.RotateKeyRequest(purpose=types_pb2.KEY_PURPOSE_MINT),
            metadata=admin.metadata,
        )
        server.clock.advance(timedelta(seconds=61))
        await parts.follower.refresh()
        await parts.key_maintenance.tick()
        await parts.follower.refresh()
        second = (await web.exchange(first.session_token)).tokens
        current = unpack_session(parse_opaque(second.session_token).payload)
        assert current.mint_key_id != captured.mint_key_id
        forged = parts.mint.held(captured.mint_key_id).token(
            TokenKind.WEB_SESSION, UUID(bytes=captured.lookup_id), current.generation
        )
        for token, refused in ((forged, True), (second.session_token, False)):
            listing = web.sessions.ListSessions(
                session_service_pb2.ListSessionsRequest(session_token=token), metadata=web.metadata
            )
            if not refused:
                assert (await listing).sessions
                continue
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await listing
            assert reason_of(caught.value) == "TOKEN_REVOKED"
