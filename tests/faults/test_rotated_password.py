"""A database password that is changed, and logins that are refused: no restart is needed."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from tests.support.api import Api
from tests.support.outcomes import outcome
from tests.support.postgres_member import Member
from tests.support.servers import ServerProcess
from tests.support.store_fixtures import ClusterTemplate, StartCluster
from tests.support.waiting import patience, until
from tests.support.world import World
from token_service.adapters.postgres.connecting import Source
from token_service.adapters.postgres.pool import Database
from token_service.domain.errors import TokenServiceError
from tokenservice.v1 import token_service_pb2 as tokens
from tokenservice.v1 import types_pb2 as types

ROLE, NAME = "service", "token_service"
FIRST, SECOND = "first canary-9f3b@/", "second canary-9f3b?#"
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'service'"
OWN = tokens.IssueRequest(
    platform=types.PLATFORM_API, client=tokens.ClientCredential(), audiences=["orders"]
)
REFUSED = "local all postgres trust\nhost all postgres all scram-sha-256\n"


class Deployment:
    """A PostgreSQL, a role of the service's own, and the file with its address."""

    def __init__(self, primary: Member, file: Path) -> None:
        self.primary = primary
        self.file = file
        primary.sql(f"CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{FIRST}'")
        self.write(FIRST)

    def write(self, password: str) -> None:
        """Tell the service this password."""
        login = f"{ROLE}:{quote(password, safe='')}"
        self.file.write_text(f"postgresql://{login}@{self.primary.address}/{NAME}\n")

    async def change(self, password: str) -> None:
        """Have the server accept this password alone, and end what is connected."""
        await asyncio.to_thread(self.primary.sql, f"ALTER ROLE {ROLE} PASSWORD '{password}'")
        await asyncio.to_thread(self.primary.sql, CUT)

    async def admit(self, rules: str) -> None:
        """Replace pg_hba.conf, and end what is connected."""
        (self.primary.data / "pg_hba.conf").write_text(rules)
        await asyncio.to_thread(self.primary.sql, "SELECT pg_reload_conf()")
        await asyncio.to_thread(self.primary.sql, CUT)


@pytest.fixture
def deployment(start_cluster: StartCluster, tmp_path: Path) -> Deployment:
    cluster = start_cluster(standbys=0, synchronous=False)
    return Deployment(cluster.primary, tmp_path / "postgres_dsn")


class Caller:
    """Asks for a session again and again, and keeps what it is told."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.told: list[str] = []

    async def works(self) -> bool:
        """Whether a call is answered now."""
        found = await outcome(self._api.tokens.Issue(OWN, metadata=self._api.metadata))
        self.told.append(found if isinstance(found, str) else "")
        return not isinstance(found, str)

    async def is_refused(self) -> None:
        """Wait for the first refusal, and ask for more."""
        while await self.works():
            pass
        for _ in range(20):
            await self.works()


@asynccontextmanager
async def serving(
    deployment: Deployment, world: World, workers: int
) -> AsyncIterator[tuple[Caller, ServerProcess]]:
    """A server of so many processes whose password is in the deployment's file. At the end it has
    refused calls as unavailable alone, and told of it in lines."""
    environment = world.environment(postgres_dsn_file=str(deployment.file), workers=str(workers))
    del environment["TOKEN_SERVICE_POSTGRES_DSN"]
    server = await asyncio.to_thread(ServerProcess, environment)
    try:
        async with world.api(server.address, "demo-api") as api, patience():
            caller = Caller(api)
            assert await caller.works()
            yield caller, server
            assert await caller.works()
        assert set(caller.told) - {""} <= {"STORE_UNAVAILABLE", "TRUST_STALE"}
        assert set(caller.told) > {""}
    finally:
        server.kill()
        sys.stdout.writelines(server.output[-40:])
    said = "".join(server.output)
    assert "Traceback" not in said
    assert "canary" not in said


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_login_that_is_refused_is_tried_again(
    deployment: Deployment, cluster_template: ClusterTemplate, workers: int
) -> None:
    """By pg_hba.conf, and after a change of the password, which is read from its file."""
    async with serving(deployment, cluster_template.world, workers) as (caller, server):
        former = (deployment.primary.data / "pg_hba.conf").read_text()
        await deployment.admit(REFUSED)
        await caller.is_refused()
        await deployment.admit(former)
        await until(caller.works)
        await deployment.change(SECOND)
        await caller.is_refused()
        deployment.write(SECOND)
        await until(caller.works)
    assert events(server, "postgres_dsn_read_again")
    told = [line["sqlstate"] for line in events(server, "postgres_fails")]
    assert 1 <= told.count("28000") <= workers
    assert 1 <= told.count("28P01") <= workers


def events(server: ServerProcess, name: str) -> list[dict[str, Any]]:
    """The log lines of that name."""
    lines = [json.loads(line) for line in server.output if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


async def test_a_file_that_is_being_replaced_is_waited_for(deployment: Deployment) -> None:
    source = Source(text=deployment.file.read_text().strip(), file=deployment.file)
    database = await Database.open(source, size=2)
    await deployment.change(SECOND)
    for content in (None, "", "half an addr", "postgresql://"):
        deployment.file.unlink(missing_ok=True)
        if content is not None:
            deployment.file.write_text(content)
        with pytest.raises((OSError, TokenServiceError, asyncpg.PostgresError)):
            await database.connect("test")
    deployment.write(SECOND)
    await (await database.connect("test")).close()

    async def answers() -> bool:
        try:
            return await database.fetchrow("SELECT 1") is not None
        except TokenServiceError:
            return False

    await until(answers)
    await database.close()
