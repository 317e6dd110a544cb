"""Looks at each reading before it is taken over, and begins a new epoch where it has to be."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from token_service.adapters.postgres.trust import epochs
from token_service.adapters.postgres.trust import log as trust
from token_service.domain.audit import Actor, AuditEvent
from token_service.domain.kinds import TrustEntryKind
from token_service.domain.trust.succession import Decision, Memory, Step, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg
    from asyncpg import Record

    from token_service.domain.trust.reading import TrustReading, TrustSink

GRACE = 5.0
"""How long a node that was just started leaves a new server to one that knew the former, in
seconds."""

PAUSE = 0.1
"""Between two looks at whether one has come, in seconds."""

_log = structlog.get_logger(__name__)


class SuccessionWatch:
    """Remembers how far this node has seen the log, and reads what comes after `sink`'s state.

    `timeout` (seconds) is for each statement and each step, `page` the entries that one statement
    reads; `boot` is the clock that also runs during suspend.
    """

    def __init__(
        self,
        sink: TrustSink,
        *,
        timeout: float,
        page: int,
        boot: Callable[[], float],
        grace: float,
    ) -> None:
        self._sink = sink
        self._timeout = timeout
        self._page = page
        self._boot = boot
        self._grace = grace
        self._memory: Memory | None = None
        self._beaten_boot = float("-inf")
        self.begun = {"succeeded": 0, "fenced": 0}
        """Epochs that were begun here."""
        self.unknown_server = False
        """Whether the server does not tell its system identifier or timeline."""

    def remember(self, reading: TrustReading) -> None:
        """The sink has taken it over."""
        self._memory = Memory(epoch=reading.epoch, revision=reading.revision, beat=reading.beat)
        unknown = None in (reading.server.system_identifier, reading.server.timeline)
        if unknown and not self.unknown_server:
            _log.warning(
                "trust_server_unknown",
                system_identifier=reading.server.system_identifier,
                timeline=reading.server.timeline,
            )
        self.unknown_server = unknown

    async def read(self, conn: asyncpg.Connection[Record]) -> TrustReading:
        """What comes after the sink's state; from the start where the log is another one.

        Returns once nothing stands against taking it over. Raises STORE_UNAVAILABLE on a standby,
        and else what the driver raises.
        """
        state = self._sink.state
        since = state.revision if state.epoch else 0
        grace_ends = None
        while True:
            # From before the question: what is acknowledged meanwhile it need not know.
            memory = self._memory and replace(self._memory, acknowledged=self._sink.acknowledged)
            reading = await self._read_since(conn, since)
            decision = await self._judge(conn, memory, reading)
            if decision.step is Step.NOTHING:
                if not since or reading.epoch == state.epoch:
                    return self._proven(reading, memory)
                since = 0
                continue
            if decision.step is Step.WAIT:
                if grace_ends is None:
                    grace_ends = self._boot() + self._grace
                    _log.warning("trust_log_waits", why=decision.why)
                if self._boot() < grace_ends:
                    await asyncio.sleep(PAUSE)
                    continue
                decision = Decision(Step.FENCE, f"{decision.why}; nor has another node")
            await self._take_step(conn, decision, memory, reading)

    async def _read_since(self, conn: asyncpg.Connection[Record], since: int) -> TrustReading:
        return await trust.read(conn, since, boot=self._boot, within=self._timeout, page=self._page)

    async def _judge(
        self, conn: asyncpg.Connection[Record], memory: Memory | None, reading: TrustReading
    ) -> Decision:
        ended = None
        if memory is not None and memory.epoch != reading.epoch:
            ended = await epochs.ended(conn, memory.epoch, within=self._timeout)
        return judge(memory, reading, ended)

    def _proven(self, reading: TrustReading, memory: Memory | None) -> TrustReading:
        """The reading with a beat that is not younger than it was before: only the next one is,
        whatever becomes of the server's clock."""
        if memory and (memory.epoch, memory.beat) == (reading.epoch, reading.beat):
            reading = replace(reading, beaten_boot=min(reading.beaten_boot, self._beaten_boot))
        self._beaten_boot = reading.beaten_boot
        return reading

    async def _take_step(
        self,
        conn: asyncpg.Connection[Record],
        decision: Decision,
        memory: Memory | None,
        reading: TrustReading,
    ) -> None:
        """Another node may be first, or both do it: then the next reading says so."""
        if decision.step is Step.RECORD:
            _log.info("trust_server_recorded", timeline=reading.server.timeline)
            work = epochs.record(conn, reading)
        else:
            work = self._begin_epoch(conn, decision, memory, reading)
        async with asyncio.timeout(self._timeout):
            await work

    def _compromised(self) -> list[str]:
        """The keys that this node knows to be compromised; the database may have forgotten it."""
        known = self._sink.state.live_entries()
        return [entry.id for entry in known if entry.kind is TrustEntryKind.KEY]

    async def _begin_epoch(
        self,
        conn: asyncpg.Connection[Record],
        decision: Decision,
        memory: Memory | None,
        reading: TrustReading,
    ) -> None:
        fenced = decision.step is Step.FENCE
        audit = AuditEvent(
            at=datetime.fromtimestamp(reading.db_time, UTC),
            actor=Actor.TRUST_FOLLOWER,
            action="trust.fence" if fenced else "trust.succeed",
            outcome="ok",
            target=reading.epoch,
            details=decision.why,
        )
        seen, only = memory.known if memory else 0, UUID(reading.epoch)
        await conn.execute("BEGIN")
        if fenced:
            revision = await epochs.fence(
                conn,
                min_revision=seen,
                audit=audit,
                only_epoch=only,
                compromised=self._compromised(),
            )
        else:
            revision = await epochs.succeed(conn, audit=audit, only_epoch=only)
        await conn.execute("COMMIT")
        if revision is None:
            return
        self.begun["fenced" if fenced else "succeeded"] += 1
        if fenced:
            _log.critical("trust_log_fenced", why=decision.why, epoch=reading.epoch, seen=seen)
        else:
            _log.warning("trust_log_succeeded", why=decision.why, epoch=reading.epoch)
