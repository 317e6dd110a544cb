"""Connections are made, looked after and made anew in the background; no caller pays for it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from redis.exceptions import RedisClusterException
from structlog.testing import capture_logs

from tests.faults.proxy import Proxy
from tests.support.certificates import issue, server_files
from tests.support.gates import open_link
from tests.support.valkey_node import ValkeyNode, free_ports
from tests.support.waiting import PATIENCE, patience, until
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.redis import RedisAway, RedisClient, RedisGate, RedisLink, connect
from token_service.app.redis_parts import connector
from token_service.config import load
from token_service.domain import deadline

PASSWORD = "just-a-test"
EACH_WAY = 0.008


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyNode]:
    (port,) = free_ports(1)
    lines = ['save ""', f"requirepass {PASSWORD}"]
    node = ValkeyNode(tmp_path / "server", port, lines, password=PASSWORD)
    node.start()
    node.wait()
    yield node
    node.kill()


@pytest.fixture
async def proxy(server: ValkeyNode) -> AsyncIterator[Proxy]:
    async with Proxy(server.address) as proxy:
        yield proxy


def url_by(proxy: Proxy) -> str:
    return f"redis://:{PASSWORD}@{proxy.address}"


async def ping(client: RedisClient) -> object:
    return await client.set("ping", b"1")


async def answers(gate: RedisGate, times: int) -> list[object]:
    return await asyncio.gather(*(gate.ask(ping) for _ in range(times)), return_exceptions=True)


async def test_a_handshake_longer_than_the_budget_keeps_nobody_away(
    server: ValkeyNode, tmp_path: Path
) -> None:
    """8 ms each way: TCP, TLS and AUTH take more than 50 ms, and a command 16."""
    authority = issue("authority")
    (tmp_path / "ca").write_bytes(authority.certificate)
    files = server_files(authority, tmp_path, mutual=False)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files["tls_cert"], files["tls_key"])
    async with Proxy(server.address, tls=tls) as slow:
        slow.delay = EACH_WAY
        url = f"rediss://:{PASSWORD}@{slow.address}?ssl_ca_certs={tmp_path / 'ca'}"
        async with open_link(url) as link:
            gate = RedisGate(link)
            answered = 0
            async with patience():
                while answered < 20:  # a busy machine may be late now and then
                    answered += (await answers(gate, 1)) == [True]
            assert slow.accepted == 4


async def test_the_first_caller_waits_for_the_first_connection(proxy: Proxy) -> None:
    link = RedisLink(lambda: connect(url_by(proxy)))
    assert await RedisGate(link, budget=PATIENCE).ask(ping)
    await link.close()


async def test_a_crowd_waits_for_its_turn(proxy: Proxy) -> None:
    async with open_link(url_by(proxy), connections=2) as link:
        assert set(await answers(RedisGate(link, budget=PATIENCE), 200)) == {True}
        assert proxy.accepted == 2


async def test_the_own_load_is_no_fault_of_redis(proxy: Proxy) -> None:
    """Who gets no turn in time goes on without, and Redis is asked by the next."""
    async with open_link(url_by(proxy), connections=1) as link:
        gate = RedisGate(link, budget=PATIENCE)
        hold = asyncio.Event()

        async def held(_: RedisClient) -> None:
            await hold.wait()

        holder = asyncio.create_task(gate.ask(held))
        await asyncio.sleep(0)
        for _ in range(3):
            with deadline.until(0.01), pytest.raises(RedisAway):
                await gate.ask(ping)
        assert not gate.away
        hold.set()
        await holder
        assert await gate.ask(ping)


async def test_work_whose_caller_left_before_its_turn_is_not_done(proxy: Proxy) -> None:
    async with open_link(url_by(proxy), connections=1) as link:
        gate = RedisGate(link, budget=PATIENCE)
        hold, done = asyncio.Event(), []

        async def held(_: RedisClient) -> None:
            await hold.wait()

        async def note(_: RedisClient) -> None:
            done.append(1)

        holder = asyncio.create_task(gate.ask(held))
        await asyncio.sleep(0)
        leaving = asyncio.create_task(gate.ask(note))
        await asyncio.sleep(0.01)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        hold.set()
        await holder
        assert await gate.ask(ping)
        assert done == []


async def test_connections_cut_silently_are_found_before_a_caller_meets_them(
    proxy: Proxy,
) -> None:
    async with open_link(url_by(proxy), check_every=0.05, patience=0.3) as link:
        former = link.client
        proxy.forget()
        await until(lambda: link.client not in (None, former))
        assert set(await answers(RedisGate(link, budget=PATIENCE), 20)) == {True}


async def test_a_caller_that_insists_outlives_a_connection_cut_silently(proxy: Proxy) -> None:
    async with open_link(url_by(proxy), check_every=PATIENCE, patience=0.3) as link:
        proxy.forget()
        gate = RedisGate(link, budget=PATIENCE, insists=True)
        assert set(await answers(gate, 20)) == {True}


async def test_a_caller_that_insists_outlives_a_restart(server: ValkeyNode) -> None:
    url = f"redis://:{PASSWORD}@{server.address}"
    async with open_link(url, pause=0.01) as link:
        gate = RedisGate(link, budget=PATIENCE, insists=True)
        server.kill()
        asked = asyncio.create_task(answers(gate, 20))
        await until(lambda: link.client is None)
        server.start()
        assert set(await asked) == {True}


async def test_a_new_password_is_taken_from_where_the_address_comes_from(
    server: ValkeyNode, tmp_path: Path
) -> None:
    source, secrets = tmp_path / "url", tmp_path / "secrets"
    source.write_text(f"redis://:{PASSWORD}@{server.address}")
    secrets.write_text(SecretKeys.generate_text())
    settings = load(
        {
            "TOKEN_SERVICE_ISSUER": "https://auth.example.com",
            "TOKEN_SERVICE_POSTGRES_DSN": "postgresql://127.0.0.1/tokens",
            "TOKEN_SERVICE_SECRET_KEYS_FILE": str(secrets),
            "TOKEN_SERVICE_REDIS_URL_FILE": str(source),
        }
    )
    link = RedisLink(connector(settings), pause=0.01)
    gate = RedisGate(link, budget=PATIENCE)
    assert await gate.ask(ping)
    with capture_logs() as logs:
        server.ask("CONFIG", "SET", "requirepass", "another")
        server.password = "another"
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        with pytest.raises(RedisAway):
            await gate.ask(ping)
        source.write_text(f"redis://:another@{server.address}")
        await until(lambda: link.client)
        assert await gate.ask(ping)
    assert [line["event"] for line in logs] == ["redis_away"]
    assert "another" not in repr(logs)
    await link.close()


async def test_an_outage_is_one_warning_with_its_cause_and_one_end(server: ValkeyNode) -> None:
    url = f"redis://:{PASSWORD}@{server.address}"
    with capture_logs() as logs:
        async with open_link(url, pause=0.01, check_every=0.1) as link:
            server.kill()
            assert set(map(type, await answers(RedisGate(link), 20))) == {RedisAway}
            await asyncio.sleep(0.2)  # for more tries in vain
            server.start()
            await until(lambda: len(logs) == 2)
    assert [line["event"] for line in logs] == ["redis_away", "redis_back"]
    assert "ConnectionError" in logs[0]["error"]


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction"), "OutOfMemory"),
        (("ACL", "SETUSER", "default", "-set"), "NoPermission"),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), "ResponseError"),
    ],
    ids=["memory", "rights", "replicas"],
)
async def test_a_refusal_is_named_once_and_does_not_close(
    server: ValkeyNode, spoil: tuple[str, ...], cause: str
) -> None:
    async with open_link(f"redis://:{PASSWORD}@{server.address}") as link:
        gate = RedisGate(link, budget=PATIENCE)
        await asyncio.to_thread(server.ask, *spoil)
        with capture_logs() as logs:
            for _ in range(3):
                assert set(map(type, await answers(gate, 3))) == {RedisAway}
                filled = await gate.ask_all(lambda pipeline: pipeline.set("canary", b"canary"))
                assert list(filled) == [None]
        assert not gate.away
        assert await gate.ask(lambda client: client.get("canary")) is None
    assert [line["event"] for line in logs] == ["redis_refuses_command"]
    assert cause in logs[0]["error"]
    assert "canary" not in repr(logs)


async def test_a_server_that_loads_or_follows_is_not_used(server: ValkeyNode) -> None:
    """A single address that leads to a replica, as after a failover of somebody else's."""
    async with open_link(f"redis://:{PASSWORD}@{server.address}", pause=0.01) as link:
        gate = RedisGate(link, budget=PATIENCE)
        await asyncio.to_thread(server.ask, "REPLICAOF", "127.0.0.1", "1")
        with capture_logs() as logs:
            with pytest.raises(RedisAway):
                await gate.ask(ping)
            await asyncio.sleep(0.1)
            assert gate.away
        assert [line["error"] for line in logs] == ["ReadOnlyError"]
        await asyncio.to_thread(server.ask, "REPLICAOF", "NO", "ONE")
        await until(lambda: link.client)
        assert await gate.ask(ping)


@pytest.mark.parametrize(
    "error",
    [
        RedisClusterException("canary"),
        RuntimeError("canary"),
        ssl.SSLError("canary"),
        asyncio.IncompleteReadError(b"canary", 7),
        UnicodeError("canary"),
        OSError("canary"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_the_library_raises_is_redis_being_away(
    proxy: Proxy, error: Exception
) -> None:
    """A RedisClusterException, for one, is no RedisError."""

    async def fail(_: RedisClient) -> None:
        raise error

    async with open_link(url_by(proxy), pause=PATIENCE) as link:
        gate = RedisGate(link)
        with capture_logs() as logs, pytest.raises(RedisAway):
            await gate.ask(fail)
        assert gate.away
    assert [line["error"] for line in logs] == [type(error).__name__]


@pytest.mark.parametrize("host", ["nowhere.invalid", "127.0.0.1:1", "a" * 70 + ".invalid"])
@pytest.mark.parametrize(
    "form", ["redis://{}", "redis+sentinel://{}/tokens", "redis+cluster://{}", "rediss://{}"]
)
async def test_no_address_lets_another_error_out(form: str, host: str) -> None:
    link = RedisLink(partial(connect, form.format(host)))
    with capture_logs() as logs:
        with pytest.raises(RedisAway):
            await RedisGate(link, insists=True).ask(ping)
        await until(lambda: logs)
    await link.close()
    assert [line["event"] for line in logs] == ["redis_away"]
