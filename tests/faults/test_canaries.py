"""I6: no secret is in the log, in an error, in a metric or in a store, whatever goes wrong."""

import asyncio
import json
import sys
import urllib.request

import pytest

from tests.faults.breakable import Breakable
from tests.support.callers import Callers
from tests.support.canaries import Canaries, fail, miss_the_stores, rows_of, succeed, values_of
from tests.support.servers import ServerProcess
from tests.support.waiting import PATIENCE
from token_service.app import Application

UNREDACTED = "tests.faults.unredacted"


async def test_nothing_secret_in_log_and_errors(breakable: Breakable) -> None:
    """The log is read as it is before the redaction, which is there for what this test missed."""
    world = breakable.world
    canaries = Canaries(world)
    environment = world.environment(postgres_timeout="500ms", rate_scale="10")
    server = ServerProcess(environment, module=UNREDACTED)
    try:
        async with Callers(world, server.address) as callers:
            person = await succeed(callers, canaries)
            assert canaries.said == []
            await fail(callers, canaries, person)
            await asyncio.to_thread(breakable.valkey.stop)
            await asyncio.to_thread(breakable.postgres.crash)
            try:
                await miss_the_stores(callers, canaries, person)
                with pytest.raises(RuntimeError) as refused:
                    ServerProcess(environment, module=UNREDACTED)
            finally:
                await asyncio.to_thread(breakable.postgres.start)
                await asyncio.to_thread(breakable.valkey.start)
        assert server.terminate() == 0
    finally:
        server.kill()
    assert "TOKEN_SERVICE_POSTGRES_DSN" in str(refused.value)
    codes = {"UNAUTHENTICATED", "INVALID_ARGUMENT", "PERMISSION_DENIED", "UNAVAILABLE"}
    assert {*codes, "UNIMPLEMENTED"} <= set(canaries.refused)
    logged = [json.loads(line) for line in server.output if line.startswith("{")]
    assert {line.get("code") for line in logged} >= codes
    assert {"demo-web", "demo-admin", ""} <= {str(line.get("caller", "-")) for line in logged}
    refusals = [line for line in logged if line.get("reason") == "AUDIENCE_NOT_ALLOWED"]
    assert "" not in {line["caller"] for line in refusals}, "whoever is refused is named"
    assert canaries.seen_in(server.output) == []
    assert canaries.seen_in([str(refused.value)]) == []
    assert canaries.seen_in(canaries.said) == []
    sys.stderr.write(f"\n{len(server.output)} lines and {len(canaries.said)} errors are clean\n")


def scrape(application: Application) -> str:
    """What Prometheus would get."""
    assert application._metrics is not None
    url = f"http://127.0.0.1:{application._metrics.port}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        text: bytes = response.read()
    return text.decode()


async def test_nothing_secret_in_metrics_and_at_rest(breakable: Breakable) -> None:
    world = breakable.world
    canaries = Canaries(world)
    settings = world.settings(rate_scale=10, metrics_listen="127.0.0.1:0")
    application = await Application.create(settings)
    try:
        async with Callers(world, await application.start()) as callers:
            person = await succeed(callers, canaries)
            await fail(callers, canaries, person)
        metrics = await asyncio.to_thread(scrape, application)
        stored = [*await rows_of(world.dsn), *await asyncio.to_thread(values_of, world.redis_url)]
    finally:
        await application.stop()
    assert 'method="/tokenservice.v1.TokenService/Exchange"' in metrics
    assert 'method="unknown"' in metrics
    assert canaries.seen_in([metrics]) == []
    assert any(person.username in text for text in stored), "nothing was read"
    assert canaries.seen_in(stored, at_rest=True) == []
    # Every label has a few values, all of ours: not those of a request.
    assert "NoSuchMethod" not in metrics
    assert "demo-web" not in metrics


def test_a_planted_secret_would_be_found(breakable: Breakable) -> None:
    canaries = Canaries(breakable.world)
    assert canaries.seen_in(["clean"]) == []
    assert len(canaries.seen_in([f"cannot connect to {breakable.world.dsn}"])) == 1
    secret = breakable.world.clients["demo-web"]
    assert canaries.seen_in([f"x {secret.split('_', 2)[2]} y"]) != []
