"""The facts of opaque access tokens' sessions: a shared cache in front of Postgres."""

import asyncio
import contextlib
import math
from collections.abc import Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from token_service.adapters.redis.facts_codec import FactsCodec, identity_facts
from token_service.adapters.redis.gate import RedisGate
from token_service.adapters.redis.link import RedisAway
from token_service.adapters.redis.seals import EntrySeals
from token_service.domain import deadline
from token_service.domain.errors import store_unavailable
from token_service.domain.ports import Clock, SessionStore
from token_service.domain.sessions.session import Session

TTL = timedelta(seconds=60)
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Flight:
    """A load under way, good for tokens up to `generation`."""

    generation: int
    task: "asyncio.Task[Session | None]"


class CachedSessionFacts:
    """Implements `ports.SessionFacts`.

    Holds who a session is, never whether it is still good: that is the verdict's business, and
    revocation is the trust log's. A row that is revoked already is not cached. `seals`
    authenticate the entries: whoever can write to Redis can make a cold Validate slower, and
    nothing else.
    """

    def __init__(
        self,
        gate: RedisGate,
        store: SessionStore,
        clock: Clock,
        seals: EntrySeals,
        ttl: timedelta = TTL,
    ) -> None:
        if ttl > TTL:
            raise ValueError(f"session facts may be cached for {TTL} at most")
        self._gate = gate
        self._store = store
        self._clock = clock
        self._codec = FactsCodec(seals)
        self._ttl = ttl
        self._flights: dict[str, _Flight] = {}
        self._refills: set[asyncio.Task[None]] = set()

    async def load(self, session_id: str, min_generation: int = 0) -> Session | None:
        """Load the facts as of `identity_facts`; None when there is no such session.

        Roles follow a user's at each exchange: `min_generation` is that of the token in hand, so
        that what was cached before its exchange is not taken for it. Concurrent calls share one
        load. Raises STORE_UNAVAILABLE.
        """
        flight = self._flights.get(session_id)
        if flight is None or flight.generation < min_generation:
            flight = self._take_off(session_id, min_generation)
        left = deadline.remaining(math.inf)
        try:
            async with asyncio.timeout(None if left == math.inf else left):
                return await asyncio.shield(flight.task)
        except TimeoutError:
            raise store_unavailable() from None

    async def load_many(self, wanted: Mapping[str, int]) -> dict[str, Session]:
        """Load many sessions' facts, with one question to Redis and one to Postgres at the most.

        `wanted` has for each session id the least generation. Raises STORE_UNAVAILABLE.
        """
        cached = await self._recall(list(wanted))
        found = {key: one for key, one in cached.items() if one.generation >= wanted[key]}
        missing = [UUID(key) for key in wanted if key not in found]
        if missing:
            rows = [identity_facts(row) for row in await self._store.get_many(missing)]
            found.update((str(row.session_id), row) for row in rows)
            self._refill([row for row in rows if row.revoked_at is None])
        return found

    async def close(self) -> None:
        """End what is under way."""
        tasks = [*self._refills, *(flight.task for flight in self._flights.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _take_off(self, session_id: str, min_generation: int) -> _Flight:
        # In a context of its own: those who join must not depend on the first caller's deadline.
        task = asyncio.create_task(self._fetch(session_id, min_generation), context=Context())
        flight = _Flight(min_generation, task)
        self._flights[session_id] = flight

        def landed(done: "asyncio.Task[Session | None]") -> None:
            if self._flights.get(session_id) is flight:
                del self._flights[session_id]
            if not done.cancelled():
                done.exception()  # whoever still waits gets it

        task.add_done_callback(landed)
        return flight

    async def _fetch(self, session_id: str, min_generation: int) -> Session | None:
        return (await self.load_many({session_id: min_generation})).get(session_id)

    async def _recall(self, session_ids: Sequence[str]) -> dict[str, Session]:
        keys = [self._gate.key("facts", session_id) for session_id in session_ids]

        def fill(pipeline: Any) -> None:  # noqa: ANN401 - of redis-py
            for key in keys:
                # A range, so that a planted giant costs no more than a full entry.
                pipeline.getrange(key, 0, _MAX_BYTES)

        try:
            entries = await self._gate.ask_all(fill)
        except RedisAway:
            return {}
        now = self._clock.now()
        found = {}
        for session_id, entry in zip(session_ids, entries, strict=True):
            if isinstance(entry, bytes) and 0 < len(entry) <= _MAX_BYTES:
                facts = self._codec.decode(UUID(session_id), entry, now, self._ttl)
                if facts is not None:
                    found[session_id] = facts
        return found

    def _refill(self, facts: Sequence[Session]) -> None:
        if not facts:
            return
        task = asyncio.create_task(self._remember(facts), context=Context())
        self._refills.add(task)
        task.add_done_callback(self._refills.discard)

    async def _remember(self, facts: Sequence[Session]) -> None:
        now = self._clock.now()
        entries = []
        for one in facts:
            left = min(self._ttl, one.absolute_expires_at - now)
            entry = self._codec.encode(one, now)
            if left >= timedelta(milliseconds=1) and len(entry) <= _MAX_BYTES:
                key = self._gate.key("facts", str(one.session_id))
                entries.append((key, entry, left // timedelta(milliseconds=1)))
        if not entries:
            return

        def fill(pipeline: Any) -> None:  # noqa: ANN401 - of redis-py
            for key, entry, milliseconds in entries:
                pipeline.set(key, entry, px=milliseconds)

        with contextlib.suppress(RedisAway):
            await self._gate.ask_all(fill)
