"""A disk that is full: unavailable meanwhile, told once, and well when there is room again."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.unusable import PATIENT, UNAVAILABLE, lines, require_no_traceback, works
from tests.support.api import exchange_id
from tests.support.callers import Callers
from tests.support.outcomes import outcome
from tests.support.servers import ServerProcess
from tests.support.world import World, seed
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.postgres.migrate import migrate


@pytest.fixture
def small_disk(open_dir: Path) -> Iterator[Path]:
    """A file system of its own for a server's data, with little room. Only root can make one."""
    folder = open_dir / "small-disk"
    folder.mkdir()
    mounting = ("mount", "-t", "tmpfs", "-o", "size=224m,mode=0711", "small", str(folder))
    if os.geteuid() or subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("a file system of a small size needs root")
    yield folder
    unmounting = ("umount", "--lazy", str(folder))
    subprocess.run(unmounting, check=True)


async def test_a_full_disk_is_told_once_and_nothing_acknowledged_is_lost(
    small_disk: Path, redis_url: str
) -> None:
    filler = small_disk / "filler"
    with EmbeddedPostgres(small_disk / "postgres", fsync=False) as postgres:
        dsn = postgres.create_database("full")
        await asyncio.to_thread(migrate, dsn)
        world = await seed(World(dsn, redis_url, SecretKeys.generate_text(), {}, "", ""))
        server = ServerProcess(world.environment(**PATIENT))
        try:
            async with Callers(world, server.address) as callers:
                person = await callers.new_person()
                token = (await callers.log_in(person)).session_token
                await asyncio.to_thread(fill, filler)
                refused, once = 0, b""
                while refused < 20:
                    once = exchange_id()
                    done = await outcome(callers.web.exchange(token, once))
                    if isinstance(done, str):
                        assert done in UNAVAILABLE
                        refused += 1
                    else:
                        token = done.tokens.session_token
                filler.unlink()
                await works(callers, token, once)
        finally:
            server.kill()
    told = [line["cause"] for line in lines(server, "postgres_fails")]
    assert "the server's disk is full" in told
    assert len(told) == len(set(told))
    require_no_traceback(server)


def fill(filler: Path) -> None:
    """Take what is left of the file's disk."""
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
