"""The common exchange: one round trip, and one commit for all that come at the same time."""

from collections.abc import Hashable, Sequence
from datetime import datetime

import structlog
from asyncpg import Record

from token_service.adapters.postgres.failures import retry_deadlock
from token_service.adapters.postgres.gathering import Gathering
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.sessions import sql as session_sql
from token_service.adapters.postgres.sessions.rows import generation_from_values
from token_service.domain import durability
from token_service.domain.audit import AuditEvent
from token_service.domain.ports import PlainAdvance
from token_service.domain.sessions.session import Generation

LANES = 2
"""Statements under way at a time, where one is held up by a locked row."""

_log = structlog.get_logger(__name__)

Asked = tuple[PlainAdvance, AuditEvent]
Advanced = tuple[Generation, int] | None


class PlainAdvances:
    """Each session's advance is conditional on its own row alone; what they share is the
    snapshot, the client whose sessions they are, and the commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gathering = Gathering(self._advance, _kind, lanes=LANES)

    async def __call__(self, change: PlainAdvance, audit: AuditEvent) -> Advanced:
        """See `domain.ports.SessionStore.advance_plainly`."""
        advanced = await self._gathering.ask((change, audit))
        if advanced is not None:
            durability.note_commit()
        return advanced

    async def close(self) -> None:
        """Finish what was asked."""
        await self._gathering.close()

    async def _advance(self, asked: Sequence[Asked]) -> list[Advanced]:
        first, audit = asked[0]
        once = {change.lookup_id: (change, event) for change, event in reversed(asked)}
        changes = [change for change, _ in once.values()]
        events = [event for _, event in once.values()]
        at = max(change.at for change in changes)
        rows = await retry_deadlock(
            lambda: self._database.fetch(
                session_sql.ADVANCE_PLAINLY,
                [change.lookup_id for change in changes],
                [change.generation for change in changes],
                [change.presented_mint_kid for change in changes],
                [change.exchange_hash for change in changes],
                [change.exchange_fingerprint for change in changes],
                [event.request_id for event in events],
                [event.address for event in events],
                first.terms.client_id,
                first.confirmation,
                first.audiences,
                first.scopes,
                first.terms.audiences,
                first.terms.scopes,
                first.terms.idle_seconds,
                first.mint_kid,
                at,
                first.terms.config_version,
                audit.actor,
                audit.action,
                audit.outcome,
                self._database.fencing.epoch,
            )
        )
        found = {row["lookup_id"]: row for row in rows}
        # A second presenter of the same token did not advance it: that is for the decision.
        return [
            _read(found.get(change.lookup_id), change, at)
            if once[change.lookup_id][0] is change
            else None
            for change, _ in asked
        ]


def _read(row: Record | None, change: PlainAdvance, at: datetime) -> Advanced:
    """What the row says. It is committed: one that cannot be read must not become a failure of
    the statement, after which the others would be run again and look like reuse."""
    if row is None:
        return None
    *values, revision = row
    try:
        made = generation_from_values(
            values, change.terms.client_id, change.generation + 1, change.mint_kid, at
        )
    except Exception:  # noqa: BLE001 - whatever it is, the others have been answered
        _log.exception("unreadable_session")
        return None
    return made, revision


def _kind(asked: Asked) -> Hashable:
    change, audit = asked
    terms = change.terms
    return (
        terms.client_id,
        terms.config_version,
        change.mint_kid,
        change.confirmation,
        change.audiences,
        change.scopes,
        audit.action,
        audit.outcome,
    )
