"""Causes of the errors that every call may get, on some call each."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import grpc

from tests.integration.error_causes.issuing import ATTEMPTS
from tests.integration.error_causes.scene import ADMIN, GATEWAY, NO_ID, Cause, Scene
from tests.support.api import reason_of
from token_service.rpc.policy_table import METHODS
from tokenservice.v1 import code_service_pb2 as codes
from tokenservice.v1 import trust_service_pb2 as trust
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as users

STREAMS = 4
SETTINGS: Mapping[str, str] = {
    "login_attempts_per_account_and_address": str(ATTEMPTS),
    "max_streams": str(STREAMS),
    "open_registration": "false",
    "rate_scale": "0.25",
    "staleness_limit": "1s",
    "heartbeat": "400ms",
}
"""Of the scene's server: small limits, which are reached soon."""

OURS = sorted(name for name in METHODS if name.startswith("/tokenservice."))
"""Every method of the API, by its full name."""

NOT_A_MESSAGE = b"\xff"


async def ask_raw(scene: Scene, method: str, metadata: Any = ()) -> object:
    """Call any method with what is no message."""
    channel: Any = scene.api(ADMIN).channel
    if method.endswith(("/WatchTrust", "/GetTrust", "/WatchPairing")):
        return await channel.unary_stream(method)(NOT_A_MESSAGE, metadata=metadata).read()
    return await channel.unary_unary(method)(NOT_A_MESSAGE, metadata=metadata)


async def _unparsable(scene: Scene) -> object:
    return await ask_raw(scene, "/tokenservice.v1.TokenService/Issue", scene.api(ADMIN).metadata)


async def _without_credentials(scene: Scene) -> object:
    return await ask_raw(scene, "/tokenservice.v1.TokenService/Issue")


async def _without_permission(scene: Scene) -> object:
    return await scene.call(GATEWAY, "users", "ListRoles", users.ListRolesRequest())


async def _too_often(scene: Scene) -> object:
    request = users.ListRolesRequest()
    return await asyncio.gather(
        *(scene.call(ADMIN, "users", "ListRoles", request) for _ in range(120))
    )


async def _too_many_at_once(scene: Scene) -> object:
    api = scene.api(ADMIN)
    streams = [
        api.trust.WatchTrust(trust.WatchTrustRequest(), metadata=api.metadata)
        for _ in range(STREAMS + 1)
    ]
    try:
        return await asyncio.gather(*(stream.read() for stream in streams))
    finally:
        for stream in streams:
            stream.cancel()


@asynccontextmanager
async def _locked(scene: Scene, table: str) -> AsyncIterator[None]:
    """Whoever reads the table waits."""
    blocker = await asyncpg.connect(scene.world.dsn)
    try:
        async with blocker.transaction():
            await blocker.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await blocker.close()


async def _get_code(scene: Scene) -> object:
    return await scene.call(ADMIN, "codes", "GetCode", codes.GetCodeRequest(code_id=NO_ID))


async def _store_blocked(scene: Scene) -> object:
    async with _locked(scene, "codes"):
        return await _get_code(scene)


async def _follow(scene: Scene, timeout: float | None = None) -> AsyncIterator[object]:  # noqa: ASYNC109
    api = scene.api(ADMIN)
    request = trust.WatchTrustRequest()
    async for message in api.trust.WatchTrust(request, metadata=api.metadata, timeout=timeout):
        yield message


async def _out_of_time(scene: Scene) -> object:
    return [message async for message in _follow(scene, timeout=0.2)]


async def _view_too_old(scene: Scene) -> object:
    """Each reading of the trust log takes longer than a view may be old."""
    await scene.sql("ALTER TABLE trust_head RENAME TO trust_head_read_slowly")
    await scene.sql(
        "CREATE VIEW trust_head AS SELECT it.* FROM trust_head_read_slowly AS it, pg_sleep(1.2)"
    )
    try:
        return await _refused_by_other_than(scene, "STORE_UNAVAILABLE")
    finally:
        await scene.sql("DROP VIEW trust_head")
        await scene.sql("ALTER TABLE trust_head_read_slowly RENAME TO trust_head")
        await _works_again(scene)


async def _works_again(scene: Scene) -> None:
    while True:
        try:
            await scene.api(GATEWAY).validate("a token")
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.02)
        else:
            return


async def _refused_by_other_than(scene: Scene, expected: str) -> object:
    while True:
        try:
            await scene.api(GATEWAY).validate("a token")
        except grpc.aio.AioRpcError as error:
            if reason_of(error) != expected:
                raise
        await asyncio.sleep(0.02)


async def _fault(scene: Scene) -> object:
    """A row holds what no version of the service has written."""
    app = await scene.app()
    request = codes.IssueCodeRequest(purpose="test", kind=types.CODE_KIND_COUPON)
    issued = await scene.call(app, "codes", "IssueCode", request)
    await scene.sql("UPDATE codes SET kind = 77 WHERE code_id::text = $1", issued.code_id)
    return await scene.call(app, "codes", "GetCode", codes.GetCodeRequest(code_id=issued.code_id))


async def _stopping(scene: Scene) -> object:
    """The last of all: the server is gone afterwards."""
    async for _ in _follow(scene):
        scene.server.process.terminate()
    return None


GENERAL_CAUSES: Mapping[str, Cause] = {
    "FIELD_INVALID": _unparsable,
    "CALLER_UNAUTHENTICATED": _without_credentials,
    "PERMISSION_MISSING": _without_permission,
    "RATE_LIMITED": _too_often,
    "OVERLOADED": _too_many_at_once,
    "DEADLINE_EXCEEDED": _out_of_time,
    "STORE_UNAVAILABLE": _store_blocked,
    "TRUST_STALE": _view_too_old,
    "INTERNAL": _fault,
    "SHUTTING_DOWN": _stopping,
}
"""In the order in which they are caused."""
