"""What the doctor says of stores that turn it away."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.support.documents import OPERATIONS
from tests.support.gates import open_link
from tests.support.servers import ROOT
from tests.support.valkey_node import ValkeyNode, free_ports
from tests.support.waiting import PATIENCE
from token_service.adapters.redis import GcraLimiter, RedisGate
from token_service.adapters.redis.connection import close, connect
from token_service.cli.doctor import redis, succession
from token_service.cli.doctor.checks import Status

CANARY = "canary-71ce"


async def test_a_wrong_password_is_no_silence(redis_url: str) -> None:
    parts = urlsplit(redis_url)
    place = parts.netloc.rpartition("@")[2]
    stranger = parts._replace(netloc=f"{CANARY}:{CANARY}@{place}").geturl()
    (check,) = await redis.check(stranger)
    assert check.status is Status.FAIL
    assert check.detail.startswith("refuses the user")
    assert CANARY not in check.detail + check.advice


async def test_a_user_that_may_not_read_info_is_no_fault(redis_url: str) -> None:
    parts = urlsplit(redis_url)
    owner: Any = connect(redis_url, max_connections=1, timeout=PATIENCE)
    password = "just-a-test"
    await owner.acl_setuser(
        "careful", enabled=True, passwords=[f"+{password}"], categories=["+@all", "-@dangerous"]
    )
    place = parts.netloc.rpartition("@")[2]
    careful = parts._replace(netloc=f"careful:{password}@{place}").geturl()
    try:
        checks = {check.name: check for check in await redis.check(careful)}
    finally:
        await owner.acl_deluser("careful")
        await close(owner)
    assert checks["redis"].status is not Status.FAIL
    assert checks["redis memory"].status is Status.WARN
    assert "INFO" in checks["redis memory"].detail


RIGHTS = "~token-service:* +ping +set +get +getrange +del +eval +evalsha +time"
"""As docs/operations.md says."""


@pytest.mark.parametrize("missing", ["", *RIGHTS.split()[1:]])
async def test_the_rights_that_the_documents_name_suffice(redis_url: str, missing: str) -> None:
    owner: Any = connect(redis_url, max_connections=1)
    rights = [right for right in RIGHTS.split() if right != missing]
    await owner.execute_command("ACL", "SETUSER", "modest", "on", ">just-a-test", *rights)
    parts = urlsplit(redis_url)
    place = parts.netloc.rpartition("@")[2]
    url = parts._replace(netloc=f"modest:just-a-test@{place}").geturl()
    try:
        checks = {check.name: check for check in await redis.check(url)}
        if not missing:
            async with open_link(url) as link:
                gate = RedisGate(link, budget=PATIENCE)
                assert await GcraLimiter(gate).allow(b"key", per_minute=1, burst=1) is None
    finally:
        await owner.acl_deluser("modest")
        await close(owner)
    assert ("redis rights" in checks) is bool(missing)
    assert f"`{RIGHTS}`" in (ROOT / OPERATIONS).read_text()


async def test_a_replica_is_no_redis_of_ours(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    replica = ValkeyNode(tmp_path / "replica", port, ["replicaof 127.0.0.1 1"], password="")
    replica.start()
    try:
        await asyncio.to_thread(replica.wait)
        (check,) = await redis.check(f"redis://{replica.address}")
    finally:
        replica.kill()
    assert check.detail == "takes no writes: it is a replica"


async def test_an_empty_port_is_silence() -> None:
    (check,) = await redis.check("redis://127.0.0.1:1")
    assert check.detail.startswith("does not answer")


async def test_what_succeeded_the_primary_is_found_and_told(dsn: str) -> None:
    conn = await asyncpg.connect(dsn)

    async def found() -> dict[str, tuple[Status, str]]:
        checks = succession.judge(await succession.read(conn))
        return {check.name: (check.status, check.detail) for check in checks}

    try:
        before = await found()
        assert {status for status, _ in before.values()} == {Status.OK}
        await conn.execute(
            "UPDATE trust_head SET system_identifier = trust_system_identifier(),"
            " timeline = trust_timeline() - 1"
        )
        await conn.execute("UPDATE trust_beat SET beat = 9, beaten_at = clock_timestamp()")
        succeeded = await found()
        assert succeeded["trust server"][0] is Status.WARN
        assert "recorded is" in succeeded["trust server"][1]
        assert succeeded["trust beat"][0] is Status.OK

        await conn.execute("UPDATE trust_head SET timeline = trust_timeline()")
        await conn.execute("UPDATE trust_beat SET beaten_at = beaten_at - interval '1 minute'")
        await conn.execute(
            "INSERT INTO trust_successions VALUES (gen_random_uuid(), 1, 1, true, now())"
        )
        late = await found()
        assert late["trust server"][0] is Status.OK
        assert late["trust server"][1].endswith("everyone logged in again")
        assert late["trust beat"][0] is Status.WARN

        await conn.execute(
            "CREATE OR REPLACE FUNCTION trust_timeline() RETURNS bigint LANGUAGE sql"
            " RETURN NULL::bigint"
        )
        assert (await found())["trust server"][0] is Status.WARN
    finally:
        await conn.close()
