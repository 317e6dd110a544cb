"""Which of several servers is taken, when some fail, are silent or are standbys."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from token_service.adapters.postgres.dsn import Server
from token_service.adapters.postgres.primary import Connection, find_primary

AN_HOUR = 3600.0
ONE, TWO, THREE = (Server(name, 5432) for name in ("one", "two", "three"))


class FakeConnection:
    """What a made connection is to who looks for one."""

    def __init__(self) -> None:
        self.ended = False

    def terminate(self) -> None:
        self.ended = True


class Servers:
    """Servers by what each does when it is tried."""

    def __init__(self, **outcomes: object) -> None:
        self.outcomes = outcomes
        self.tried: list[str] = []
        self.made: dict[str, FakeConnection] = {}
        self.left: list[str] = []
        self.go_on = asyncio.Event()

    async def attempt(self, server: Server) -> Connection:
        self.tried.append(server.host)
        outcome = self.outcomes[server.host]
        if outcome == "silent":
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.left.append(server.host)
                raise
        if isinstance(outcome, Exception):
            raise outcome
        self.made[server.host] = connection = FakeConnection()
        return connection  # type: ignore[return-value]

    async def find(
        self, *servers: Server, within: float = AN_HOUR, head_start: float = AN_HOUR
    ) -> str:
        found, _ = await find_primary(servers, self.attempt, within=within, head_start=head_start)
        return found.host


async def test_the_first_that_is_there_is_taken_and_no_other_asked() -> None:
    servers = Servers(one="primary", two="primary")
    assert await servers.find(ONE, TWO) == "one"
    assert servers.tried == ["one"]


async def test_after_one_that_fails_the_next_is_tried_at_once() -> None:
    standby = asyncpg.TargetServerAttributeNotMatched("a standby")
    servers = Servers(one=ConnectionRefusedError(), two=standby, three="primary")
    assert await servers.find(ONE, TWO, THREE) == "three"


async def test_a_silent_one_is_left_for_one_that_answers() -> None:
    servers = Servers(one="silent", two="primary")
    assert await servers.find(ONE, TWO, head_start=0.0) == "two"
    await asyncio.sleep(0)
    assert servers.left == ["one"]


async def test_a_slow_one_is_taken_where_the_others_fail() -> None:
    servers = Servers(one="silent", two=ConnectionRefusedError())
    finding = asyncio.create_task(servers.find(ONE, TWO, head_start=0.0))
    while servers.tried != ["one", "two"]:
        await asyncio.sleep(0)
    servers.go_on.set()
    assert await finding == "one"


async def test_what_comes_too_late_is_closed() -> None:
    servers = Servers(one="silent", two="silent")
    finding = asyncio.create_task(servers.find(ONE, TWO, head_start=0.0))
    while servers.tried != ["one", "two"]:
        await asyncio.sleep(0)
    servers.go_on.set()
    taken = await finding
    await asyncio.sleep(0)
    assert [name for name, made in servers.made.items() if not made.ended] == [taken]


@pytest.mark.parametrize("head_start", [0.0, AN_HOUR])
async def test_a_cancelled_search_leaves_nothing_running(head_start: float) -> None:
    servers = Servers(one="silent", two="silent")
    finding = asyncio.create_task(servers.find(ONE, TWO, head_start=head_start))
    while not servers.tried:
        await asyncio.sleep(0)
    finding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finding
    await asyncio.sleep(0)
    assert servers.left == servers.tried


REFUSED = asyncpg.InvalidPasswordError
STANDBY = asyncpg.TargetServerAttributeNotMatched


@pytest.mark.parametrize(
    ("one", "two", "told"),
    [
        (lambda: REFUSED("no"), lambda: STANDBY("no"), REFUSED),
        (lambda: STANDBY("no"), OSError, STANDBY),
        (OSError, TimeoutError, OSError),
        (lambda: "silent", lambda: REFUSED("no"), REFUSED),
        (lambda: "silent", lambda: "silent", TimeoutError),
    ],
)
async def test_of_several_failures_the_one_is_told_that_says_most(
    one: Callable[[], object], two: Callable[[], object], told: type[Exception]
) -> None:
    servers = Servers(one=one(), two=two())
    search: Awaitable[str] = servers.find(ONE, TWO, within=0.05, head_start=0.0)
    with pytest.raises(told) as caught:
        await search
    assert type(caught.value) is told
    notes = caught.value.__notes__
    assert sorted(note.partition(":")[0] for note in notes) == ["one", "two"]
