"""Sentinels and Clusters that lose a part: what remains is used, and nothing is lost for long."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from tests.faults.proxy import Proxy
from tests.integration.test_doctor import RIGHTS
from tests.support.certificates import issue, server_files
from tests.support.gates import link_to, open_link
from tests.support.valkey_node import free_ports
from tests.support.valkey_topologies import ClusterService, SentinelService
from tests.support.waiting import PATIENCE, patience, until
from token_service.adapters.redis import (
    GcraLimiter,
    RedisActivityMarks,
    RedisAway,
    RedisClient,
    RedisGate,
)
from token_service.cli.doctor import redis as doctor
from token_service.cli.doctor.checks import Status
from token_service.domain.ports import ActivityMark

CROWD = 100


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelService]:
    with SentinelService(tmp_path_factory.mktemp("watched"), sentinel_user="watcher") as service:
        yield service


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterService]:
    with ClusterService(tmp_path_factory.mktemp("cluster")) as service:
        yield service


async def put(key: str, client: RedisClient) -> object:
    return await client.set(key, b"1", px=60_000)


async def crowd(gate: RedisGate) -> list[object]:
    """What so many callers get, each with a key of its own."""
    return await asyncio.gather(
        *(gate.ask(partial(put, str(uuid4()))) for _ in range(CROWD)), return_exceptions=True
    )


async def until_all_answer(gate: RedisGate) -> None:
    """Whatever is raised meanwhile is RedisAway."""
    async with patience():
        while (given := set(map(type, await crowd(gate)))) != {bool}:
            assert given <= {bool, RedisAway}
            await asyncio.sleep(0.02)


async def use(gate: RedisGate) -> None:
    """Everything that the service does with Redis."""
    limiter, caller = GcraLimiter(gate), uuid4().bytes
    assert await limiter.allow(caller, per_minute=1, burst=1) is None
    assert await limiter.allow(caller, per_minute=1, burst=1) is not None
    sessions = [uuid4() for _ in range(600)]
    marks = dict.fromkeys(sessions, ActivityMark(1.0, 61.0))
    assert await RedisActivityMarks(gate).read(sessions) == {}
    await RedisActivityMarks(gate).write(marks, 1.0)
    assert await RedisActivityMarks(gate).read(sessions) == marks
    key = gate.key("facts", str(uuid4()))
    await gate.ask(lambda client: client.set(key, b"entry", px=1000))
    assert await gate.ask(lambda client: client.getrange(key, 0, 100)) == b"entry"


async def test_a_single_server(redis_url: str) -> None:
    async with open_link(redis_url) as link:
        await use(RedisGate(link, budget=PATIENCE))


async def test_a_cluster_by_the_one_seed_that_runs(cluster: ClusterService) -> None:
    (dead,) = free_ports(1)
    url = cluster.url_by([f"127.0.0.1:{dead}", cluster.servers[1].address])
    async with open_link(url) as link:
        await use(RedisGate(link, budget=PATIENCE))
    assert all(member.ask("DBSIZE") > 0 for member in cluster.members)


async def test_the_database_of_a_service(watched: SentinelService) -> None:
    async with open_link(watched.url_by([watched.sentinels[1].address], database=3)) as link:
        await use(RedisGate(link, budget=PATIENCE))
    with watched.primary().connected() as primary:
        assert primary.info("keyspace")["db3"]["keys"] > 0


async def test_the_rights_that_the_documents_name_suffice(
    watched: SentinelService, cluster: ClusterService
) -> None:
    common = [*RIGHTS.split(), "+select", "+cluster|slots", "+command"]
    modest = ("ACL", "SETUSER", "modest", "on", ">just-a-test")
    for server in (*watched.servers, *cluster.servers):
        server.ask(*modest, *common)
    for sentinel in watched.sentinels:
        sentinel.ask(*modest, "+sentinel|masters")
    seeds = ",".join(server.address for server in watched.sentinels)
    own = "sentinel_username=modest&sentinel_password=just-a-test"
    for url in (
        f"redis+sentinel://modest:just-a-test@{seeds}/tokens/2?{own}",
        f"redis+cluster://modest:just-a-test@{cluster.members[0].address}",
    ):
        async with open_link(url) as link:
            await use(RedisGate(link, budget=PATIENCE))


async def test_a_primary_that_dies_is_followed_by_its_replica(tmp_path: Path) -> None:
    with SentinelService(tmp_path / "mortal") as mortal:
        async with open_link(mortal.url, pause=0.05) as link:
            gate = RedisGate(link, budget=PATIENCE, insists=True)
            assert set(await crowd(gate)) == {True}
            former = mortal.primary()
            former.kill()
            with capture_logs() as logs:
                await until_all_answer(gate)
            assert await asyncio.to_thread(mortal.primary) is not former
    assert [line["event"] for line in logs] == ["redis_away"]


async def test_a_planned_failover_is_followed(watched: SentinelService) -> None:
    async with open_link(watched.url, pause=0.05) as link:
        gate = RedisGate(link, budget=PATIENCE, insists=True)
        former = watched.primary()
        await asyncio.to_thread(watched.sentinels[0].ask, "SENTINEL", "FAILOVER", "tokens")
        await asyncio.to_thread(watched.wait_for_failover, former)
        await until_all_answer(gate)


async def test_a_primary_that_stood_still_is_left_for_good(watched: SentinelService) -> None:
    """It wakes up as a primary of the past, and takes writes for a while."""
    async with open_link(watched.url, pause=0.05, patience=0.5) as link:
        gate = RedisGate(link, budget=PATIENCE, insists=True)
        former = watched.primary()
        former.freeze()
        later = await asyncio.to_thread(watched.wait_for_failover, former)
        await until_all_answer(gate)
        former.resume()
        key = str(uuid4())
        await gate.ask(partial(put, key))
        assert await asyncio.to_thread(later.ask, "EXISTS", key) == 1


async def test_sentinels_that_are_silent_or_dead_are_passed_over(watched: SentinelService) -> None:
    """The first takes connections and says nothing, as behind a firewall; the second is dead."""
    async with Proxy(watched.sentinels[0].address) as silent:
        silent.swallow()
        (dead,) = free_ports(1)
        url = watched.url_by([silent.address, f"127.0.0.1:{dead}", watched.sentinels[1].address])
        async with open_link(url, patience=0.5) as link:
            assert set(await crowd(RedisGate(link, budget=PATIENCE))) == {True}


@asynccontextmanager
async def sentinel_with_certificate(service: SentinelService, folder: Path) -> AsyncIterator[str]:
    """The address of a Sentinel over TLS, with an authority of its own in the folder's `ca`."""
    authority = issue("authority")
    (folder / "ca").write_bytes(authority.certificate)
    files = server_files(authority, folder, mutual=False)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files["tls_cert"], files["tls_key"])
    async with Proxy(service.sentinels[0].address, tls=tls) as proxy:
        yield proxy.address


async def test_sentinels_have_a_user_and_an_authority_of_their_own(
    watched: SentinelService, tmp_path: Path
) -> None:
    async with sentinel_with_certificate(watched, tmp_path) as address:
        url = watched.url_by([address], sentinel_ca_certs=str(tmp_path / "ca"))
        async with open_link(url) as link:
            assert set(await crowd(RedisGate(link, budget=PATIENCE))) == {True}


async def test_a_wrong_password_of_the_sentinels_is_redis_away(watched: SentinelService) -> None:
    link = link_to(watched.url.replace(watched.sentinel_password, "canary"))
    with capture_logs() as logs:
        with pytest.raises(RedisAway):
            await RedisGate(link).ask(partial(put, "key"))
        await until(lambda: logs)
    await link.close()
    assert [line["event"] for line in logs] == ["redis_away"]
    assert "canary" not in repr(logs)


async def test_slots_that_move_are_followed(cluster: ClusterService) -> None:
    """A planned failover: members answer MOVED, and no connection ends."""
    async with open_link(cluster.url) as link:
        former = link.client
        replica = cluster.replicas[2]
        await asyncio.to_thread(replica.ask, "CLUSTER", "FAILOVER")
        await until(lambda: asyncio.to_thread(lambda: replica.ask("ROLE")[0] == b"master"))
        await until_all_answer(RedisGate(link, budget=PATIENCE))
        assert link.client is former


async def test_a_member_that_stands_still_costs_nobody_else_its_keys(
    cluster: ClusterService,
) -> None:
    async with open_link(cluster.url, pause=0.05, patience=0.5) as link:
        gate = RedisGate(link, budget=PATIENCE, insists=True)
        cluster.members[1].freeze()
        await until_all_answer(gate)
        cluster.members[1].resume()
        await asyncio.to_thread(cluster.wait_until_covered)
        await until_all_answer(gate)


async def test_a_member_that_dies_is_followed_by_its_replica(cluster: ClusterService) -> None:
    """It was the only seed that the address names."""
    async with open_link(cluster.url_by([cluster.members[0].address]), pause=0.05) as link:
        gate = RedisGate(link, budget=PATIENCE, insists=True)
        assert set(await crowd(gate)) == {True}
        cluster.members[0].kill()
        with capture_logs() as logs:
            await until_all_answer(gate)
    assert [line["event"] for line in logs] == ["redis_away"]
    cluster.members[0].start()
    await asyncio.to_thread(cluster.wait_until_covered)


@pytest.mark.parametrize("topology", ["watched", "cluster"])
async def test_crowds_wait_for_their_turn(topology: str, request: pytest.FixtureRequest) -> None:
    service: SentinelService | ClusterService = request.getfixturevalue(topology)
    async with open_link(service.url, connections=16) as link:
        gate = RedisGate(link, budget=PATIENCE)
        for _ in range(3):
            assert set(await crowd(gate)) == {True}
        assert not gate.away


async def test_the_doctor_finds_the_service_as_the_service_does(watched: SentinelService) -> None:
    (dead,) = free_ports(1)
    alive = [sentinel.address for sentinel in watched.sentinels]
    found = {check.name: check for check in await doctor.check(watched.url_by(alive))}
    assert found["redis sentinels"].status is Status.OK
    assert found["redis"].detail.startswith("version ")
    found = {
        check.name: check
        for check in await doctor.check(watched.url_by([f"127.0.0.1:{dead}", alive[1]]))
    }
    assert found["redis sentinels"].status is Status.WARN
    assert "1 of 2" in found["redis sentinels"].detail
    assert found["redis"].status is not Status.FAIL


async def test_the_doctor_says_why_sentinels_are_of_no_use(watched: SentinelService) -> None:
    wrong = watched.url.replace(watched.sentinel_password, "canary")
    found = {check.name: check for check in await doctor.check(wrong)}
    assert found["redis sentinels"].status is Status.FAIL
    assert "AuthenticationError" in found["redis sentinels"].detail
    assert found["redis"].status is Status.FAIL
    unknown = watched.url.replace("/tokens/", "/canary/")
    found = {check.name: check for check in await doctor.check(unknown)}
    assert "unknown service" in found["redis sentinels"].detail
    assert "canary" not in repr(found)


async def test_the_doctor_asks_every_member(cluster: ClusterService) -> None:
    cluster.members[1].ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    cluster.replicas[1].ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    found = {check.name: check for check in await doctor.check(cluster.url)}
    assert found["redis members"].detail == "3"
    assert "noeviction" in found["redis memory"].detail
