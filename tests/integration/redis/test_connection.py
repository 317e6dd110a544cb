"""Single servers, Clusters and Sentinels by their addresses."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError

from tests.support.waiting import PATIENCE, patience
from token_service.adapters.embedded import EmbeddedValkey
from token_service.adapters.embedded.binaries import valkey_server
from token_service.adapters.redis import GcraLimiter, RedisActivityMarks, RedisGate, connect
from token_service.domain.ports import ActivityMark

KEY = b"\x07" * 16
MINUTE = timedelta(minutes=1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def cluster(open_dir: Path) -> Iterator[tuple[EmbeddedValkey, int]]:
    port = free_port()
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "cluster-enabled": "yes",
        "cluster-port": str(free_port()),
        "databases": "1",
    }
    with EmbeddedValkey(open_dir / f"cluster-{uuid4().hex[:8]}", settings=settings) as server:
        yield server, port


@pytest.fixture
def primary(open_dir: Path) -> Iterator[tuple[EmbeddedValkey, int]]:
    port = free_port()
    settings = {"port": str(port), "bind": "127.0.0.1"}
    with EmbeddedValkey(open_dir / f"primary-{uuid4().hex[:8]}", settings=settings) as server:
        yield server, port


@pytest.fixture
def sentinel(primary: tuple[EmbeddedValkey, int], tmp_path: Path) -> Iterator[int]:
    server, port = primary
    own = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {own}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor tokens 127.0.0.1 {port} 1\n"
        f"sentinel auth-pass tokens {password_of(server)}\n"
    )
    child = subprocess.Popen(
        [str(valkey_server()), str(config), "--sentinel"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield own
    child.terminate()
    child.wait(PATIENCE)


def password_of(server: EmbeddedValkey) -> str:
    return urlsplit(server.url).password or ""


@asynccontextmanager
async def gate_to(url: str) -> AsyncIterator[RedisGate]:
    gate = RedisGate(connect(url, timeout=PATIENCE), budget=5.0, pause=0.0)
    yield gate
    await gate.close()


async def use(gate: RedisGate) -> None:
    """Everything that the service does with Redis."""
    limiter = GcraLimiter(gate)
    assert await limiter.allow(KEY, per_minute=1, burst=1) is None
    assert await limiter.allow(KEY, per_minute=1, burst=1) is not None
    sessions = [uuid4() for _ in range(600)]
    marks = dict.fromkeys(sessions, ActivityMark(1.0, 61.0))
    assert await RedisActivityMarks(gate).read(sessions) == {}
    await RedisActivityMarks(gate).write(marks, 1.0)
    assert await RedisActivityMarks(gate).read(sessions) == marks
    key = gate.key("facts", str(uuid4()))
    await gate.ask(lambda client: client.set(key, b"entry", px=1000))
    assert await gate.ask(lambda client: client.getrange(key, 0, 100)) == b"entry"


async def test_a_single_server(redis_url: str) -> None:
    async with gate_to(redis_url) as gate:
        assert isinstance(gate.client, Redis)
        await use(gate)


async def test_a_cluster(cluster: tuple[EmbeddedValkey, int]) -> None:
    server, port = cluster
    async with Redis(host="127.0.0.1", port=port, password=password_of(server)) as node:
        await node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]
        async with patience():
            while (await node.cluster("INFO"))["cluster_state"] != "ok":
                await asyncio.sleep(0.05)
    async with gate_to(f"redis+cluster://:{password_of(server)}@127.0.0.1:{port}") as gate:
        assert isinstance(gate.client, RedisCluster)
        await use(gate)


async def test_a_service_by_its_sentinels(
    primary: tuple[EmbeddedValkey, int], sentinel: int
) -> None:
    server, _ = primary
    dead = free_port()
    password = password_of(server)
    url = f"redis+sentinel://:{password}@127.0.0.1:{dead},127.0.0.1:{sentinel}/tokens/3"
    async with gate_to(url) as gate:
        async with patience():
            while True:
                try:
                    await gate.client.get("ready")
                except RedisError:
                    await asyncio.sleep(0.05)
                else:
                    break
        await use(gate)
    async with Redis.from_url(server.url_of(3)) as third:
        assert await third.dbsize() > 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://:canary@localhost",
        "redis+other://:canary@localhost",
        "unix+cluster://:canary@/tmp/socket",
        "redis://:canary@localhost:port",
        "redis://name:can/ary@localhost:6379",
        "redis+sentinel://:canary@localhost",
        "redis+sentinel://:canary@localhost:port/tokens",
        "redis+sentinel://:canary@localhost/tokens/db",
        "redis+cluster://:canary@localhost:port",
    ],
)
def test_an_unusable_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="not a usable Redis URL") as refused:
        connect(url)
    assert "can" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
