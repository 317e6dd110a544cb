"""Cached session facts: right whatever Redis holds, loses or does, and never older than allowed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from tests.integration.postgres_world import (
    NOW,
    World,
    advance_of,
    event,
    make_world,
    revocation,
)
from tests.support.gates import CountingGate, link_to, open_link, server_of
from tests.support.waiting import PATIENCE, patience, until
from token_service.adapters.embedded import EmbeddedValkey
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.sessions.store import SessionStore
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.adapters.redis import CachedSessionFacts, RedisGate
from token_service.adapters.redis.facts import TTL
from token_service.adapters.redis.facts_codec import FactsCodec, identity_facts
from token_service.adapters.redis.seals import EntrySeals
from token_service.domain import deadline
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import TrustEntryKind
from token_service.domain.sessions.session import Session

SEALS = EntrySeals([bytes(range(32))])


class Hands:
    """A clock that moves when told to; the start is when the world's sessions begin."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def unix(self) -> float:
        return self.time.timestamp()

    def unix_at(self, boot: float) -> float:
        return boot


class CountingStore(SessionStore):
    """The store, with a count of the reads and a barrier to hold them at."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.reads = 0
        self.barrier = asyncio.Event()
        self.barrier.set()

    async def get_many(self, session_ids: Sequence[UUID]) -> list[Session]:
        self.reads += 1
        await self.barrier.wait()
        return await super().get_many(session_ids)


@dataclass(frozen=True)
class Setting:
    """One node's cache, and what it is made of."""

    world: World
    store: CountingStore
    clock: Hands
    gate: CountingGate
    facts: CachedSessionFacts

    async def load(self, session: Session, min_generation: int = 0) -> Session | None:
        return await self.facts.load(str(session.session_id), min_generation)

    def another(self, seals: EntrySeals = SEALS) -> CachedSessionFacts:
        """Another node with the same stores."""
        return CachedSessionFacts(self.gate, self.store, self.clock, seals)

    def key_of(self, session: Session) -> str:
        return self.gate.key("facts", str(session.session_id))

    @property
    def redis(self) -> Redis:
        return server_of(self.gate)

    async def entry(self, session: Session) -> bytes | None:
        found = await self.redis.get(self.key_of(session))
        assert not isinstance(found, str)
        return found

    async def filled(self, session: Session) -> bytes:
        """The entry, once the refill that goes on behind the answer is done."""
        async with patience():
            while (entry := await self.entry(session)) is None:
                await asyncio.sleep(0.001)
        return entry


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(dsn, size=8, call_timeout=30)
    yield database
    await database.close()


async def make_setting(database: Database, gate: CountingGate) -> Setting:
    store = CountingStore(database)
    clock = Hands()
    facts = CachedSessionFacts(gate, store, clock, SEALS)
    return Setting(await make_world(database), store, clock, gate, facts)


@pytest.fixture
async def setting(database: Database, redis_url: str) -> AsyncIterator[Setting]:
    async with open_link(redis_url) as link:
        setting = await make_setting(database, CountingGate(link, budget=2.0))
        yield setting
        await setting.facts.close()


@pytest.fixture
def valkey(open_dir: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(open_dir / f"valkey-{uuid4().hex[:8]}") as server:
        yield server


@pytest.fixture
async def hurried(database: Database, valkey: EmbeddedValkey) -> AsyncIterator[Setting]:
    """With a server to be killed, the gate's own budget, and nothing tried again."""
    async with open_link(valkey.url, pause=PATIENCE) as link:
        setting = await make_setting(database, CountingGate(link, monotonic=lambda: 0.0))
        yield setting
        await setting.facts.close()


async def test_the_second_node_asks_redis_alone_and_hears_the_same(setting: Setting) -> None:
    for session in (
        await setting.world.issue(setting.world.session(confirmation=bytes(range(32)))),
        await setting.world.issue(setting.world.own_session(scopes=(), roles=())),
    ):
        setting.store.reads = 0
        first = await setting.load(session)
        assert first == identity_facts(session)
        await setting.filled(session)
        assert await setting.another().load(str(session.session_id)) == first
        assert setting.store.reads == 1


async def test_nothing_at_rest_helps_to_make_a_token(setting: Setting) -> None:
    session = await setting.world.issue(
        setting.world.session(exchange_hash=b"canary exchange hash", generation=7)
    )
    loaded = await setting.load(session)
    assert loaded is not None
    assert (loaded.lookup_id, loaded.mint_kid, loaded.exchange_hash) == (UUID(int=0), "", None)
    entry = await setting.filled(session)
    device = session.device
    planted = [session.lookup_id.hex, str(session.lookup_id), device.name, device.ip_address]
    for canary in (*planted, session.mint_kid, "canary exchange hash", device.user_agent):
        assert canary.encode() not in entry


async def test_who_is_not_there_is_not_cached(setting: Setting) -> None:
    assert await setting.facts.load(str(uuid4())) is None
    assert await setting.redis.dbsize() == 0


async def test_a_revoked_session_is_told_as_such_and_not_cached(setting: Setting) -> None:
    session = await setting.world.issue()
    revocations = RevocationStore(setting.store._database)
    await revocations.revoke(revocation(TrustEntryKind.SESSION, session.session_id), NOW)
    await revocations.close()
    for reads in (1, 2):
        loaded = await setting.load(session)
        assert loaded is not None
        assert loaded.revoked_at == NOW
        assert setting.store.reads == reads
    assert await setting.redis.dbsize() == 0


async def test_an_entry_ends_with_its_time_even_where_redis_keeps_it(setting: Setting) -> None:
    session = await setting.world.issue()
    await setting.load(session)
    entry = await setting.filled(session)
    assert 0 < await setting.redis.pttl(setting.key_of(session)) <= 60_000
    await setting.redis.persist(setting.key_of(session))
    setting.clock.time = NOW + timedelta(seconds=59)
    await setting.load(session)
    assert setting.store.reads == 1
    setting.clock.time = NOW + timedelta(seconds=60)
    await setting.load(session)
    assert setting.store.reads == 2
    # Neither is it good before its time, for a node whose clock was set back.
    await setting.redis.set(setting.key_of(session), entry)
    setting.clock.time = NOW - timedelta(seconds=61)
    await setting.load(session)
    assert setting.store.reads == 3


async def test_an_entry_does_not_outlive_its_session(setting: Setting) -> None:
    session = await setting.world.issue()
    setting.clock.time = session.absolute_expires_at - timedelta(seconds=10)
    await setting.load(session)
    await setting.filled(session)
    assert 0 < await setting.redis.pttl(setting.key_of(session)) <= 10_000


async def test_what_was_cached_before_the_exchange_is_not_taken_for_its_token(
    setting: Setting,
) -> None:
    """A role was taken away: the token of generation 2 must not come with it."""
    session = await setting.world.issue()
    await setting.load(session, 1)
    await setting.filled(session)
    change = replace(advance_of(session), roles=())
    assert await setting.world.sessions.advance(change, event("exchange")) is not None
    old = await setting.load(session, 1)
    new = await setting.load(session, 2)
    assert old is not None
    assert new is not None
    assert (old.generation, old.roles) == (1, ("customer",))
    assert (new.generation, new.roles) == (2, ())


async def test_a_late_refill_costs_a_read_and_no_more(setting: Setting) -> None:
    """A node that was slow puts the former generation back over the newer one."""
    session = await setting.world.issue()
    change = replace(advance_of(session), roles=())
    assert await setting.world.sessions.advance(change, event("exchange")) is not None
    late = FactsCodec(SEALS).encode(identity_facts(session), NOW)
    await setting.redis.set(setting.key_of(session), late)
    loaded = await setting.load(session, 2)
    assert loaded is not None
    assert loaded.roles == ()


@pytest.mark.parametrize("position", [0, 31, 32, -1])
async def test_a_changed_entry_is_none(setting: Setting, position: int) -> None:
    session = await setting.world.issue()
    await setting.load(session)
    entry = bytearray(await setting.filled(session))
    entry[position] ^= 1
    await setting.redis.set(setting.key_of(session), bytes(entry))
    assert await setting.load(session) == identity_facts(session)
    assert setting.store.reads == 2


async def test_an_entry_is_good_for_its_own_session_only(setting: Setting) -> None:
    """Whoever can write to Redis can copy, too."""
    mine = await setting.world.issue()
    other = await setting.world.issue(setting.world.session(scopes=("orders.write",)))
    await setting.load(other)
    await setting.redis.set(setting.key_of(mine), await setting.filled(other))
    assert await setting.load(mine) == identity_facts(mine)


async def test_an_entry_under_another_key_is_none(setting: Setting) -> None:
    session = await setting.world.issue()
    forger = FactsCodec(EntrySeals([bytes(32)]))
    forged = replace(identity_facts(session), scopes=("admin",))
    await setting.redis.set(setting.key_of(session), forger.encode(forged, NOW))
    assert await setting.load(session) == identity_facts(session)


async def test_nodes_read_each_others_entries_while_a_secret_moves_to_the_front(
    setting: Setting,
) -> None:
    old, new = bytes(range(32)), bytes(range(1, 33))
    session = await setting.world.issue()
    for writer, reader in ((0, 1), (1, 0)):
        orders = ([old, new], [new, old])
        made = FactsCodec(EntrySeals(orders[writer])).encode(identity_facts(session), NOW)
        read = FactsCodec(EntrySeals(orders[reader]))
        assert read.decode(session.session_id, made, NOW, TTL) == identity_facts(session)


@pytest.mark.parametrize("planted", [b"", b"x", b"[]", bytes(32), b"\xff" * 70_000])
async def test_what_is_no_entry_is_none(setting: Setting, planted: bytes) -> None:
    session = await setting.world.issue()
    await setting.redis.set(setting.key_of(session), planted)
    assert await setting.load(session) == identity_facts(session)
    assert not setting.gate.away


async def test_a_key_of_another_kind_is_none(setting: Setting) -> None:
    session = await setting.world.issue()
    await setting.redis.rpush(setting.key_of(session), "planted")
    assert await setting.load(session) == identity_facts(session)
    assert not setting.gate.away


async def test_many_sessions_cost_one_read_and_the_next_node_none(setting: Setting) -> None:
    sessions = [await setting.world.issue() for _ in range(5)]
    wanted = {str(one.session_id): 1 for one in sessions}
    nobody = str(uuid4())
    found = await setting.facts.load_many({**wanted, nobody: 1})
    assert found == {str(one.session_id): identity_facts(one) for one in sessions}
    assert setting.store.reads == 1
    await asyncio.gather(*setting.facts._refills)
    assert await setting.another().load_many(wanted) == found
    assert setting.store.reads == 1
    newer = dict.fromkeys(wanted, 2)  # what is cached is too old for these
    assert (await setting.another().load_many(newer)).keys() == wanted.keys()
    assert setting.store.reads == 2


async def test_many_callers_share_one_read(setting: Setting) -> None:
    session = await setting.world.issue()
    loaded = await asyncio.gather(*(setting.load(session) for _ in range(100)))
    assert loaded == [identity_facts(session)] * 100
    assert setting.store.reads == 1


async def test_a_caller_does_not_share_a_read_that_may_be_too_old(setting: Setting) -> None:
    session = await setting.world.issue()
    setting.store.barrier.clear()
    first = asyncio.create_task(setting.load(session, 1))
    second = asyncio.create_task(setting.load(session, 2))
    third = asyncio.create_task(setting.load(session, 1))
    await until(lambda: setting.store.reads >= 2)
    setting.store.barrier.set()
    assert list(await asyncio.gather(first, second, third)) == [identity_facts(session)] * 3
    assert setting.store.reads == 2


async def test_the_first_callers_cancellation_and_deadline_are_its_own(setting: Setting) -> None:
    session = await setting.world.issue()
    setting.store.barrier.clear()

    async def hurry() -> Session | None:
        with deadline.until(0.05):
            return await setting.load(session)

    hurrying = asyncio.create_task(hurry())
    await asyncio.sleep(0)
    cancelled = asyncio.create_task(setting.load(session))
    patient = asyncio.create_task(setting.load(session))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(TokenServiceError) as late:
        await hurrying
    assert late.value.reason is Reason.STORE_UNAVAILABLE
    setting.store.barrier.set()
    assert await patient == identity_facts(session)
    assert setting.store.reads == 1


async def test_a_flush_in_the_middle_costs_a_read(setting: Setting) -> None:
    session = await setting.world.issue()
    for reads in (1, 2, 3):
        assert await setting.load(session) == identity_facts(session)
        await setting.filled(session)
        assert setting.store.reads == reads
        await setting.redis.flushall()


async def test_a_failing_store_is_an_error_and_caches_nothing(
    setting: Setting, database: Database
) -> None:
    session = await setting.world.issue()
    await database.close()
    outcomes = await asyncio.gather(
        *(setting.load(session) for _ in range(5)), return_exceptions=True
    )
    reasons = [one.reason for one in outcomes if isinstance(one, TokenServiceError)]
    assert reasons == [Reason.STORE_UNAVAILABLE] * 5
    assert await setting.redis.dbsize() == 0


async def test_a_killed_redis_costs_a_read(hurried: Setting, valkey: EmbeddedValkey) -> None:
    session = await hurried.world.issue()
    assert await hurried.load(session) == identity_facts(session)
    valkey.crash()
    hurried.gate.tried = 0
    for _ in range(20):
        assert await hurried.load(session) == identity_facts(session)
    assert hurried.gate.tried == 1
    assert hurried.store.reads == 21


async def test_a_stopped_redis_costs_its_budget_once(
    hurried: Setting, valkey: EmbeddedValkey
) -> None:
    session = await hurried.world.issue()
    assert await hurried.load(session) == identity_facts(session)
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        hurried.gate.tried = 0
        for _ in range(20):
            assert await hurried.load(session) == identity_facts(session)
        assert hurried.gate.tried == 1
    finally:
        os.kill(valkey.pid, signal.SIGCONT)


def test_weak_keys_and_long_times_are_refused(redis_url: str) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        EntrySeals([bytes(31)])
    gate = RedisGate(link_to(redis_url))
    store = SessionStore.__new__(SessionStore)
    with pytest.raises(ValueError, match="at most"):
        CachedSessionFacts(gate, store, Hands(), SEALS, ttl=timedelta(seconds=61))
