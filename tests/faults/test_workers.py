"""Several processes on one port: they share the load, die, are replaced, and stop together."""

import asyncio
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest

from tests.conftest import Stores
from tests.faults.breakable import Breakable
from tests.faults.steady import Steady
from tests.faults.supervised import (
    EXCHANGE,
    ISSUE,
    Supervised,
    allow_connections,
    falling,
    supervised,
)
from tests.support.api import Api, basic
from tests.support.outcomes import outcome
from tests.support.processes import command_line, environment, is_alive, wait_until_gone
from tests.support.servers import ROOT
from tests.support.waiting import until
from tests.support.world import World
from tokenservice.v1 import token_service_pb2 as tokens
from tokenservice.v1 import types_pb2 as types

CONNECTIONS = 24
"""All of them at one of two workers: once in eight million runs."""

CALLS = "token_service_rpc_calls_total"
DEATHS = "token_service_worker_deaths_total"


@contextmanager
def running(world: World, **settings: str) -> Iterator[Supervised]:
    service = supervised(world, **settings)
    try:
        yield service
    finally:
        service.server.kill()
        sys.stdout.writelines(service.server.output[-40:])


@pytest.fixture(scope="module")
def service(shared_world: World) -> Iterator[Supervised]:
    """Two workers, for the tests that leave two behind."""
    with running(shared_world) as one:
        yield one


async def test_workers_share_calls_counts_and_revocations(
    shared_world: World, service: Supervised
) -> None:
    async with AsyncExitStack() as stack:
        apis = [
            await stack.enter_async_context(shared_world.api(service.address, "demo-api"))
            for _ in range(CONNECTIONS)
        ]
        one, other = await one_of_each(service, apis)
        before = await service.ended(ISSUE)
        issued = await one.tokens.Issue(own_session(), metadata=one.metadata)
        access = issued.tokens.access_tokens[0].token
        await other.tokens.Issue(own_session(), metadata=other.metadata)
        assert await service.ended(ISSUE) == before + 2

        secret = shared_world.clients["demo-gateway"]
        gateway = (("authorization", basic("demo-gateway", secret)),)
        question = tokens.ValidateRequest(token=access, audience="orders")
        good = await other.tokens.Validate(question, metadata=gateway)
        assert good.verdict == types.VERDICT_ACTIVE
        revoked = await one.revoke(token=issued.tokens.session_token)
        question.min_revision = revoked.revision
        dead = await other.tokens.Validate(question, metadata=gateway)
        assert dead.verdict == types.VERDICT_REVOKED
        assert await outcome(other.exchange(issued.tokens.session_token)) == "TOKEN_REVOKED"


async def one_of_each(service: Supervised, apis: list[Api]) -> list[Api]:
    """A caller at each of the two workers, found out by the log lines of calls that fail."""
    asked = {secrets.token_hex(8): api for api in apis}
    for request_id, api in asked.items():
        call = api.tokens.Exchange(
            tokens.ExchangeRequest(token="none"),
            metadata=(*api.metadata, ("x-request-id", request_id)),
        )
        assert await outcome(call) == "TOKEN_MALFORMED"
    await service.event("call", len(asked))
    by_worker = {
        line["worker"]: asked[line["request_id"]]
        for line in service.events("call")
        if line["request_id"] in asked
    }
    assert len(by_worker) == 2
    return list(by_worker.values())


def own_session() -> tokens.IssueRequest:
    return tokens.IssueRequest(
        client=tokens.ClientCredential(), platform=types.PLATFORM_API, audiences=["orders"]
    )


async def test_a_killed_worker_is_replaced_and_what_it_counted_remains(
    shared_world: World, service: Supervised
) -> None:
    serving = len(service.events("worker_serving"))
    async with Steady.calling(shared_world, service.address) as load:
        await load.more()
        before = await service.samples()
        victim = service.kill_worker()
        await service.event("worker_serving", serving + 1)
        await load.more()
        after = await service.samples()
    assert load.failures == []
    died = service.events("worker_died")[-1]
    assert (died["pid"], died["how"]) == (victim, "SIGKILL")
    assert victim not in service.workers()
    assert falling(before, after, grows) == []
    assert after[DEATHS] == before[DEATHS] + 1
    assert await service.ended(EXCHANGE) > before[f'{CALLS}{{code="OK",method="{EXCHANGE}"}}']


def grows(name: str) -> bool:
    gauges = ("token_service_rpc_active", "token_service_held", "token_service_workers")
    return not name.startswith(gauges)


async def test_a_renewal_under_load_fails_no_call(shared_world: World, service: Supervised) -> None:
    former, renewals = service.workers(), len(service.events("renewed"))
    async with Steady.calling(shared_world, service.address) as load:
        await load.more()
        before = await service.samples()
        service.renew()
        await service.event("renewed", renewals + 1)
        await load.more()
        after = await service.samples()
    assert load.failures == []
    workers = service.workers()
    assert len(workers) == 2
    assert not {*workers} & {*former}
    assert [line["how"] for line in service.events("worker_ended")[-2:]] == ["exit 0"] * 2
    assert falling(before, after, grows) == []
    assert after[DEATHS] == before[DEATHS]
    # What the program tells gRPC's core before it is loaded holds for its workers.
    assert all("GRPC_EXPERIMENTS=" in environment(worker) for worker in workers)


async def test_a_node_is_ready_while_its_workers_read_the_trust_log(
    breakable: Breakable,
) -> None:
    quick = {"staleness_limit": "1s", "heartbeat": "400ms", "key_publish_lead": "2s"}
    with running(breakable.world, **quick) as service:
        await until(lambda: probes_as(service, 200))
        assert await service.probe("/livez") == (200, "ok\n")
        await asyncio.to_thread(breakable.postgres.stop)
        try:
            await until(lambda: probes_as(service, 503))
            _, why = await service.probe("/readyz")
            assert re.fullmatch(r"worker \d: the trust log was not read for more than 1 s.*\n", why)
            assert await service.probe("/livez") == (200, "ok\n")
        finally:
            await asyncio.to_thread(breakable.postgres.start)
        await until(lambda: probes_as(service, 200))


async def probes_as(service: Supervised, status: int) -> bool:
    return (await service.probe("/readyz"))[0] == status


async def test_a_node_is_ready_as_soon_as_it_serves(shared_world: World) -> None:
    with running(shared_world) as service:
        assert await service.probe("/readyz") == (200, "ok\n")


async def test_workers_leave_signals_to_their_supervisor(service: Supervised) -> None:
    """Whoever reloads a whole control group means each process once."""
    workers, before = service.workers(), await service.samples()
    for worker in workers:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(worker, number)
    after = await service.samples()
    assert after[DEATHS] == before[DEATHS]
    assert after["token_service_workers"] == 2
    assert service.workers() == workers


async def test_a_stop_ends_all_workers_gracefully(world: World) -> None:
    with running(world) as service:
        workers = service.workers()
        assert await asyncio.to_thread(service.server.terminate) == 0
        assert not any(is_alive(worker) for worker in workers)
        assert [line["how"] for line in service.events("worker_ended")] == ["exit 0"] * 2


async def test_a_killed_supervisor_leaves_no_worker(world: World) -> None:
    with running(world) as service:
        workers = service.workers()
        # What a terminal sends to the supervisor's group does not reach them.
        assert [os.getpgid(worker) for worker in workers] == workers
        arguments = "".join(map(command_line, workers))
        assert "token_service.app.processes.worker 1" in arguments
        assert world.secret_keys not in arguments
        assert world.dsn not in arguments
        service.server.process.kill()
        await asyncio.to_thread(wait_until_gone, workers)


async def test_workers_that_cannot_start_are_given_up(world: World) -> None:
    """First those of a renewal, which leaves the old ones; then, without those, the service."""
    with running(world) as service:
        former = service.workers()
        await allow_connections(world, allowed=False)
        service.renew()
        given_up = await service.event("renewing_given_up")
        assert given_up["reason"].startswith("TOKEN_SERVICE_POSTGRES_DSN: ")
        died = await service.event("worker_died")
        assert died["reason"].startswith("TOKEN_SERVICE_POSTGRES_DSN: ")
        assert service.workers() == former
        async with world.api(service.address, "demo-api") as api:
            assert await outcome(api.exchange("none")) == "TOKEN_MALFORMED"
        service.kill_workers()

        async def over() -> bool:
            return service.server.process.poll() is not None

        await until(over)
        service.server.kill()  # it has ended; all that it printed has been read then
        assert service.server.process.returncode == 1
        assert len(service.events("worker_died")) >= 1 + 5
        told = "".join(line for line in service.server.output if not line.startswith("{"))
        reason = "5 workers ended unasked within 60 s; the last one: TOKEN_SERVICE_POSTGRES_DSN: "
        assert reason in told


def test_what_keeps_the_first_workers_from_serving_is_told(seeded: World, embedded: Stores) -> None:
    dsn = embedded.postgres.create_database("unmigrated")
    world = seeded.moved_to(dsn, None)
    ours = {name: text for name, text in os.environ.items() if not name.startswith("TOKEN_SERVICE")}
    ended = subprocess.run(
        [sys.executable, "-m", "token_service", "serve", "--workers", "2"],
        cwd=ROOT,
        env={**ours, **world.environment(workers="1")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    message = ended.stderr.splitlines()[-1]
    assert message.startswith("TOKEN_SERVICE_POSTGRES_DSN: the database is not migrated")
    assert "Traceback" not in ended.stderr
    assert '"logger": "asyncio"' not in ended.stderr
    assert '"event": "serving"' not in ended.stdout + ended.stderr
