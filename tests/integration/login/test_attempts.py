"""Attempts: counted before they are made, whoever races whom."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.postgres_world import NOW, event, holding, until_blocked
from tests.support.removing import removed
from token_service.adapters.postgres.login.attempts import Attempts
from token_service.adapters.postgres.pool import Database
from token_service.domain.ports import AttemptBucket, Standing

MINUTE = timedelta(minutes=1)
WINDOW, LOCK = 15 * MINUTE, 5 * MINUTE
PAIR = AttemptBucket(key=b"account-a/address", limit=5, window=WINDOW, lock=LOCK)
ACCOUNT = AttemptBucket(key=b"account-a", limit=20, window=WINDOW, lock=LOCK, reset=False)
ADDRESS = AttemptBucket(key=b"zz-address", limit=50, window=WINDOW, lock=LOCK, reset=False)
ALL = (PAIR, ACCOUNT, ADDRESS)


@pytest.fixture
async def databases(dsn: str) -> AsyncIterator[list[Database]]:
    """Two nodes."""
    async with AsyncExitStack() as stack:
        nodes = [await Database.open(dsn, size=8, call_timeout=30) for _ in range(2)]
        for node in nodes:
            stack.push_async_callback(node.close)
        yield nodes


@pytest.fixture
def attempts(databases: list[Database]) -> Attempts:
    return Attempts(databases[0])


async def failures(databases: list[Database]) -> dict[bytes, int]:
    rows = await databases[0].fetch("SELECT bucket, failures FROM attempts")
    return {row["bucket"]: row["failures"] for row in rows}


async def locked(databases: list[Database], bucket: AttemptBucket) -> bool:
    row = await databases[0].fetchrow(
        "SELECT locked_until > $2 FROM attempts WHERE bucket = $1", bucket.key, NOW
    )
    assert row is not None
    return bool(row[0])


async def race(databases: list[Database], buckets: tuple[AttemptBucket, ...], count: int) -> int:
    """How many of `count` racers, half on each node, may make their attempt."""
    nodes = [Attempts(database) for database in databases]
    waits = await asyncio.gather(
        *(nodes[n % len(nodes)].reserve(buckets, NOW) for n in range(count))
    )
    assert all(wait is None or timedelta(0) < wait <= WINDOW for wait in waits)
    return waits.count(None)


async def test_of_64_racers_on_a_new_bucket_as_many_get_through_as_may(
    databases: list[Database],
) -> None:
    assert await race(databases, (PAIR,), 64) == PAIR.limit
    assert await failures(databases) == {PAIR.key: PAIR.limit}


async def test_of_64_racers_on_a_known_bucket_as_many_get_through_as_may(
    databases: list[Database], attempts: Attempts
) -> None:
    assert await attempts.reserve((PAIR,), NOW) is None
    assert await race(databases, (PAIR,), 64) == PAIR.limit - 1


async def test_racers_turned_away_for_one_bucket_count_in_no_other(
    databases: list[Database],
) -> None:
    assert await race(databases, ALL, 64) == PAIR.limit
    counted = await failures(databases)
    assert counted == {PAIR.key: 5, ACCOUNT.key: 5, ADDRESS.key: 5}


async def test_a_bucket_that_others_filled_while_it_was_made_counts_in_no_other(
    databases: list[Database], attempts: Attempts
) -> None:
    """The row is not in the statement's snapshot: it comes up full when the insert meets it."""
    full = "INSERT INTO attempts (bucket, failures, window_ends_at) VALUES ($1, $2, $3)"
    async with holding(databases[1], full, PAIR.key, PAIR.limit, NOW + LOCK):
        task = asyncio.create_task(attempts.reserve(ALL, NOW))
        await until_blocked(databases[1])
    assert await task == LOCK
    assert await failures(databases) == {PAIR.key: PAIR.limit}


async def test_racers_over_many_accounts_do_not_stand_in_each_others_way(
    databases: list[Database],
) -> None:
    """The buckets overlap and are given in different orders: no deadlock may end in an error."""
    nodes = [Attempts(database) for database in databases]
    pairs = [replace(PAIR, key=b"pair-%d" % n, limit=1000) for n in range(6)]
    shared = replace(ADDRESS, limit=1000)
    work = [
        nodes[n % 2].reserve((pairs[n % 6], shared, pairs[(n + 1) % 6])[:: 1 - 2 * (n % 2)], NOW)
        for n in range(120)
    ]
    assert await asyncio.gather(*work) == [None] * 120
    assert (await failures(databases))[shared.key] == 120


async def test_a_full_bucket_opens_after_the_lock_and_not_later_for_being_tried(
    attempts: Attempts,
) -> None:
    for minute in range(5):
        assert await attempts.reserve((PAIR,), NOW + minute * MINUTE) is None
    last = NOW + 4 * MINUTE
    assert await attempts.reserve((PAIR,), last + MINUTE) == LOCK - MINUTE
    assert await attempts.reserve((PAIR,), last + 4 * MINUTE) == MINUTE
    assert await attempts.reserve((PAIR,), last + LOCK) is None


async def test_the_window_forgets(databases: list[Database], attempts: Attempts) -> None:
    for _ in range(4):
        assert await attempts.reserve((PAIR,), NOW) is None
    assert await attempts.reserve((PAIR,), NOW + WINDOW) is None
    assert await failures(databases) == {PAIR.key: 1}


async def test_a_limit_of_one_locks_at_once(attempts: Attempts) -> None:
    single = replace(PAIR, limit=1)
    assert await attempts.reserve((single,), NOW) is None
    assert await attempts.reserve((single,), NOW + MINUTE) == LOCK - MINUTE


async def test_the_longest_wait_is_told(attempts: Attempts) -> None:
    long = replace(PAIR, key=b"long", limit=1, lock=60 * MINUTE)
    short = replace(PAIR, key=b"short", limit=1)
    assert await attempts.reserve((long, short), NOW) is None
    assert await attempts.reserve((short, long), NOW) == 60 * MINUTE


async def test_a_good_attempt_empties_its_own_bucket_and_is_given_back_to_the_others(
    databases: list[Database], attempts: Attempts
) -> None:
    for _ in range(3):
        await attempts.reserve(ALL, NOW)
    await attempts.clear(ALL)
    assert await failures(databases) == {ACCOUNT.key: 2, ADDRESS.key: 2}


async def test_the_attempt_that_filled_a_bucket_gives_back_the_lock_too(
    databases: list[Database], attempts: Attempts
) -> None:
    shared = replace(ACCOUNT, limit=2)
    await attempts.reserve((shared,), NOW)
    assert await attempts.reserve((shared,), NOW) is None
    assert await attempts.reserve((shared,), NOW) == LOCK
    assert await locked(databases, shared)
    await attempts.clear((shared,))
    assert not await locked(databases, shared)
    # One failure is left, for a window from the attempt that was given back.
    assert await attempts.reserve((shared,), NOW + LOCK) is None
    assert await attempts.reserve((shared,), NOW + LOCK) == LOCK


async def test_good_attempts_alone_never_lock(attempts: Attempts) -> None:
    for _ in range(100):
        assert await attempts.reserve(ALL, NOW) is None
        await attempts.clear(ALL)


async def test_good_attempts_in_flight_together_are_all_given_back(
    databases: list[Database],
) -> None:
    nodes = [Attempts(database) for database in databases]

    async def attempt(n: int) -> timedelta | None:
        wait = await nodes[n % 2].reserve((ACCOUNT, ADDRESS), NOW)
        await nodes[n % 2].clear((ADDRESS, ACCOUNT))
        return wait

    assert await asyncio.gather(*(attempt(n) for n in range(20))) == [None] * 20
    assert await failures(databases) == {}


async def test_what_fills_a_bucket_locks_it_for_logins_under_way(
    databases: list[Database], attempts: Attempts
) -> None:
    """The insert of a session looks at this mark again."""
    for n in range(1, PAIR.limit + 1):
        await attempts.reserve((PAIR,), NOW)
        row = await databases[0].fetchrow("SELECT locked_until FROM attempts")
        assert row is not None
        assert row["locked_until"] == (NOW + LOCK if n == PAIR.limit else None)
    await attempts.reserve((replace(PAIR, key=b"single", limit=1),), NOW)
    assert await locked(databases, replace(PAIR, key=b"single"))


async def test_a_look_at_the_buckets_counts_nothing(
    databases: list[Database], attempts: Attempts
) -> None:
    for _ in range(PAIR.limit + 1):
        assert await attempts.standing(ALL, NOW) == Standing(wait=None, failed_before=False)
    assert await failures(databases) == {}


async def test_a_look_tells_what_a_reservation_would(attempts: Attempts) -> None:
    assert await attempts.reserve((ACCOUNT,), NOW) is None
    assert await attempts.standing(ALL, NOW) == Standing(wait=None, failed_before=False)
    for minute in range(PAIR.limit):
        assert await attempts.reserve(ALL, NOW + minute * MINUTE) is None
        expected = None if minute < PAIR.limit - 1 else LOCK
        found = await attempts.standing(ALL, NOW + minute * MINUTE)
        assert found == Standing(wait=expected, failed_before=True)
    last = NOW + (PAIR.limit - 1) * MINUTE
    assert (await attempts.standing(ALL, last + MINUTE)).wait == LOCK - MINUTE
    assert (await attempts.standing(ALL, last + LOCK)) == Standing(wait=None, failed_before=False)
    assert await attempts.reserve(ALL, last + LOCK) is None


async def test_what_was_reserved_survives_everything_but_the_window(dsn: str) -> None:
    first = await Database.open(dsn, size=2)
    for _ in range(PAIR.limit):
        await Attempts(first).reserve((PAIR,), NOW)
    await first.close()
    second = await Database.open(dsn, size=2)
    assert await Attempts(second).reserve((PAIR,), NOW) == LOCK
    await second.close()


async def test_an_unlock_reaches_all_that_begin_with_the_prefix(
    databases: list[Database], attempts: Attempts
) -> None:
    prefix = b"\xa1\xff"
    keys = [b"\xa1", prefix, prefix + b"\x00", prefix + b"\xff\xff", b"\xa2", b"\xff\xff"]
    await attempts.reserve([replace(PAIR, key=key) for key in keys], NOW)
    await attempts.unlock(prefix, event("user.unlock", "ada"))
    assert set(await failures(databases)) == {b"\xa1", b"\xa2", b"\xff\xff"}
    await attempts.unlock(b"\xff", event("user.unlock", "bob"))
    assert set(await failures(databases)) == {b"\xa1", b"\xa2"}
    rows = await databases[0].fetch("SELECT action, target FROM audit_log ORDER BY id")
    assert [tuple(row) for row in rows] == [("user.unlock", "ada"), ("user.unlock", "bob")]


async def test_an_empty_prefix_unlocks_nobody(attempts: Attempts) -> None:
    with pytest.raises(ValueError, match="prefix"):
        await attempts.unlock(b"", event("user.unlock"))


async def test_the_sweep_takes_what_has_ended(
    databases: list[Database], attempts: Attempts
) -> None:
    await attempts.reserve((PAIR,), NOW)
    await attempts.reserve((ACCOUNT,), NOW + MINUTE)
    assert await removed(attempts.removal, NOW + WINDOW) == 1
    assert set(await failures(databases)) == {ACCOUNT.key}


async def test_nothing_to_count_is_nothing_to_wait_for(attempts: Attempts) -> None:
    assert await attempts.reserve((), NOW) is None
    await attempts.clear(())
