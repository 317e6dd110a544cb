"""Lost replies to IssueCode and RedeemCode, stores that are away, and what must not be seen."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from grpc_health.v1.health_pb2 import (  # type: ignore[import-untyped]
    HealthCheckRequest,
    HealthCheckResponse,
)

from tests.faults.breakable import Breakable
from tests.faults.code_callers import INVITATION, VERIFICATION, issue, record, redeem, wrong
from tests.faults.test_canaries import UNREDACTED
from tests.support.callers import Callers
from tests.support.canaries import Canaries, rows_of
from tests.support.fixtures import StartApplication
from tests.support.outcomes import outcome
from tests.support.servers import ServerProcess
from tests.support.waiting import PATIENCE
from tests.support.world import World
from token_service.app import Application
from tokenservice.v1 import code_service_pb2 as pb

CUT_OFF = "tests.faults.code_cut_off"
NOBODY_LISTENS = "redis://127.0.0.1:1/0"


@pytest.fixture
def doomed(shared_world: World) -> Iterator[Callable[[str], ServerProcess]]:
    """Start a server that dies after it has committed this."""
    started: list[ServerProcess] = []

    def start(after: str) -> ServerProcess:
        environment = {**shared_world.environment(), "TEST_DIES_AFTER": after}
        started.append(ServerProcess(environment, module=CUT_OFF))
        return started[-1]

    yield start
    for server in started:
        server.kill()


async def test_after_a_crash_between_commit_and_reply(
    doomed: Callable[[str], ServerProcess], nodes: tuple[Callers, Callers]
) -> None:
    world, survivor = nodes[0].world, nodes[1].admin
    issuing = doomed("issue")
    async with world.api(issuing.address, "demo-admin") as api:
        assert await outcome(issue(api, request_id="i1", payload=b"10%")) == "UNAVAILABLE"
    assert issuing.process.wait(PATIENCE) != 0
    issued = await issue(survivor, request_id="i1", payload=b"10%")
    assert await issue(survivor, request_id="i1", payload=b"10%") == issued

    redeeming = doomed("redeem")
    once = {"request_id": "r1", "redeemer": "u1"}
    async with world.api(redeeming.address, "demo-admin") as api:
        assert await outcome(redeem(api, issued.code, **once)) == "UNAVAILABLE"
    assert redeeming.process.wait(PATIENCE) != 0
    replayed = await redeem(survivor, issued.code.lower(), **once)
    assert (replayed.code_id, replayed.replayed) == (issued.code_id, True)
    assert (replayed.payload, replayed.uses_left) == (b"10%", 0)
    other = redeem(survivor, issued.code, request_id="r1", redeemer="u2")
    assert await outcome(other) == "REQUEST_ID_USED"
    assert await outcome(redeem(survivor, issued.code, request_id="r2")) == "CODE_USED_UP"
    assert (await record(survivor, issued.code_id)).uses == 1


async def test_without_redis_everything_works(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application(redis_url=NOBODY_LISTENS)
    async with world.api(server.address, "demo-admin") as api:
        issued = await issue(api, kind=VERIFICATION, recipient="ana")
        guess = redeem(api, wrong(issued.code), recipient="ana")
        assert await outcome(guess) == "CODE_UNKNOWN"
        assert (await redeem(api, issued.code, recipient="ANA")).code_id == issued.code_id
        revoking = pb.RevokeCodeRequest(code_id=issued.code_id)
        await api.codes.RevokeCode(revoking, metadata=api.metadata)


async def test_the_service_is_known_to_health_and_forgets_what_is_over(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    async with world.api(server.address, "demo-admin") as api:
        check: Any = api.channel.unary_unary("/grpc.health.v1.Health/Check")
        asked = HealthCheckRequest(service="tokenservice.v1.CodeService")
        answer = HealthCheckResponse.FromString(await check(asked.SerializeToString()))
        assert answer.status == HealthCheckResponse.SERVING
        issued = await issue(api)
        server.clock.advance(timedelta(days=32))
        await server.application._sweep()
        assert await outcome(record(api, issued.code_id)) == "CODE_UNKNOWN"


async def test_without_postgres_nothing_is_said_and_the_same_request_settles_it(
    breakable: Breakable,
) -> None:
    world = breakable.world
    application = await Application.create(world.settings(postgres_timeout=1, staleness_limit=30))
    try:
        async with world.api(await application.start(), "demo-admin") as api:
            issued = await issue(api, request_id="i1")
            await asyncio.to_thread(breakable.postgres.crash)
            try:
                for call in (
                    issue(api, request_id="i2"),
                    issue(api, request_id="i1"),
                    redeem(api, issued.code, request_id="r1"),
                    record(api, issued.code_id),
                ):
                    assert await outcome(call) == "STORE_UNAVAILABLE"
            finally:
                await asyncio.to_thread(breakable.postgres.start)
            while await outcome(record(api, issued.code_id)) == "STORE_UNAVAILABLE":
                await asyncio.sleep(0.1)
            await redeem(api, issued.code, request_id="r1")
            assert (await redeem(api, issued.code, request_id="r1")).replayed
            assert (await record(api, issued.code_id)).uses == 1
    finally:
        await application.stop()


async def use_codes(callers: Callers, canaries: Canaries) -> None:
    """Every kind of code, in right and wrong ways, with codes where they do not belong."""
    api = callers.admin
    wishes: list[dict[str, Any]] = [
        {"max_uses": 2},
        {"kind": INVITATION},
        {"kind": VERIFICATION, "length": 12},
    ]
    for number, fields in enumerate(wishes):
        to = f"ana-{len(canaries.refused)}"  # whose wrong codes of before do not count
        code = canaries.plant((await issue(api, recipient=to, **fields)).code)
        missing = canaries.plant("7K3M9XQ27K3M9XQ2" if not code.isdigit() else wrong(code))
        for bad in ({"purpose": f"{code}\0"}, {"recipient": code * 30}, {"request_id": code * 9}):
            await canaries.refuse(redeem(api, code, **bad))
            await canaries.refuse(issue(api, **bad))
        # One character twice: a code of distinct ones would be an alphabet, which is no secret.
        await canaries.refuse(issue(api, alphabet=code + code[0]))
        await canaries.refuse(record(api, code))
        await canaries.refuse(redeem(api, missing, recipient=to))
        await canaries.refuse(redeem(callers.web, code, recipient=to))
        await redeem(api, code.lower(), recipient=to, request_id=f"canaries-{number}")
        await canaries.refuse(redeem(api, code, recipient=to, request_id="x\0"))
        for _ in range(6):
            await canaries.refuse(redeem(api, missing, recipient=to))


async def test_no_code_is_in_a_log_or_an_error_or_at_rest(breakable: Breakable) -> None:
    world = breakable.world
    canaries = Canaries(world)
    server = ServerProcess(world.environment(), module=UNREDACTED)
    try:
        async with Callers(world, server.address) as callers:
            await use_codes(callers, canaries)
        stored = await rows_of(world.dsn)
        assert server.terminate() == 0
    finally:
        server.kill()
    logged = [json.loads(line) for line in server.output if line.startswith("{")]
    reasons = {line.get("reason") for line in logged}
    assert {"CODE_UNKNOWN", "ACCOUNT_LOCKED", "FIELD_INVALID", "PERMISSION_MISSING"} <= reasons
    assert canaries.seen_in(server.output) == []
    assert canaries.seen_in(canaries.said) == []
    assert any("code.redeem" in row for row in stored), "nothing was read"
    assert canaries.seen_in(stored) == []
