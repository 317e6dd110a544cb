"""Sessions: one row each, ever, and one statement for each thing that happens to them."""

import base64
import binascii
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres import trust_head
from token_service.adapters.postgres.locked import RowLocked, until_free
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.removal import Removal
from token_service.adapters.postgres.sessions import sql as session_sql
from token_service.adapters.postgres.sessions.plain_advances import PlainAdvances
from token_service.adapters.postgres.sessions.rows import (
    session_args,
    session_from_row,
    view_from_row,
)
from token_service.domain import durability
from token_service.domain.audit import AuditEvent
from token_service.domain.errors import invalid_field
from token_service.domain.ports import (
    ActivityRecord,
    Inserted,
    IssueGuard,
    PlainAdvance,
    SessionAdvance,
    SessionPage,
)
from token_service.domain.sessions.session import Generation, Session, SessionView
from token_service.domain.sessions.subjects import subject_ids

_DEVICE_SAMPLE = 200
_DEVICE_GRACE = timedelta(days=1)
_CURSOR = struct.Struct(">q16s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NEWEST = (datetime(9999, 1, 1, tzinfo=UTC), UUID(int=0))


class SessionStore:
    """`domain.ports.SessionStore` on PostgreSQL."""

    def __init__(self, database: Database, *, kept: timedelta = timedelta()) -> None:
        """Sessions that are over are `kept` for so long before they may be removed."""
        self._database = database
        self._plainly = PlainAdvances(database)
        self.removal = Removal(database, session_sql.REMOVE, kept=kept)
        """Of sessions past their absolute expiry."""

    async def close(self) -> None:
        """Finish what was asked."""
        await self._plainly.close()

    async def insert(
        self, session: Session, guard: IssueGuard, audit: AuditEvent
    ) -> Inserted | None:
        """Insert the session with its audit row; None: the guard no longer holds."""
        row = await self._database.fetchrow(
            session_sql.INSERT,
            *session_args(session),
            guard.config_version,
            guard.user_version,
            guard.credential_version,
            guard.attempt_bucket,
            self._database.fencing.epoch,
            *audit_log.args(audit),
        )
        if row is None or row["rev"] is None:
            await self._database.fencing.passed(row)
            return None
        durability.note_commit()
        return Inserted(row["rev"])

    async def view(self, lookup_id: UUID) -> SessionView | None:
        """A session by lookup id with all that decides over it, in one snapshot."""
        row = await self._database.fetchrow(session_sql.VIEW, lookup_id)
        return None if row is None else view_from_row(row)

    async def advance(self, change: SessionAdvance, audit: AuditEvent) -> int | None:
        """Move the session one generation on, with its audit row; the trust revision of the
        snapshot, or None: something changed, decide again.

        While another transaction holds the row, it is asked for again, and no connection is kept
        meanwhile. Raises STORE_UNAVAILABLE when it is held for too long.
        """
        return await until_free(
            lambda: self._try_to_advance(change, audit),
            self._database,
        )

    async def _try_to_advance(self, change: SessionAdvance, audit: AuditEvent) -> int | None:
        row = await self._database.fetchrow(
            session_sql.ADVANCE,
            change.session_id,
            change.from_generation,
            change.mint_kid,
            change.exchange_hash,
            change.exchange_fingerprint,
            change.at,
            change.idle_seconds,
            change.idle_expires_at,
            change.roles,
            change.config_version,
            change.user_version,
            change.auth_time,
            change.acr,
            change.amr,
            self._database.fencing.epoch,
            *audit_log.args(audit),
        )
        if row is None:
            raise LookupError("the statement gives one row")
        if row["locked"]:
            raise RowLocked
        if row["revision"] is None:
            await self._database.fencing.passed(row)
            return None
        durability.note_commit()
        return int(row["revision"])

    async def advance_plainly(
        self, change: PlainAdvance, audit: AuditEvent
    ) -> tuple[Generation, int] | None:
        """The plain exchange in one statement; None: not the plain case."""
        return await self._plainly(change, audit)

    async def get(self, session_id: UUID) -> Session | None:
        """A session by its public id."""
        row = await self._database.fetchrow(session_sql.GET, session_id)
        return None if row is None else session_from_row(row)

    async def get_many(self, session_ids: Sequence[UUID]) -> list[Session]:
        """Sessions by their public ids, in any order."""
        rows = await self._database.fetch(session_sql.GET_MANY, session_ids)
        return [session_from_row(row) for row in rows]

    async def page(
        self, subject: str, client_id: str | None, page_size: int, page_token: str, now: datetime
    ) -> SessionPage:
        """Live sessions of a subject, newest first. Raises FIELD_INVALID for `page_token`."""
        before = _read_cursor(page_token) if page_token else _NEWEST
        rows = await self._database.fetch(
            session_sql.PAGE, *subject_ids(subject), client_id, *before, now, page_size + 1
        )
        if not rows:
            await trust_head.require(self._database)
        sessions = tuple(session_from_row(row) for row in rows[:page_size])
        more = len(rows) > page_size
        return SessionPage(sessions, _cursor(sessions[-1]) if more and sessions else "")

    async def record_activity(
        self,
        seen: Sequence[tuple[UUID, datetime]],
        now: datetime,
        audiences: Sequence[str] | None = None,
    ) -> ActivityRecord:
        """Push idle deadlines of live sessions forward."""
        if not seen:
            return ActivityRecord(0, {})
        ids, times = zip(*seen, strict=True)
        wanted = None if audiences is None else list(audiences)
        rows = await self._database.fetch(session_sql.ACTIVITY, ids, times, now, wanted)
        if not rows:
            await trust_head.require(self._database)
        return ActivityRecord(
            sum(row["changed"] for row in rows),
            {row["session_id"]: timedelta(seconds=row["idle_seconds"]) for row in rows},
        )

    async def forget_devices(self, now: datetime) -> None:
        """Delete revocations of devices that no session is left for, some at a time."""
        await self._database.execute(
            session_sql.FORGET_DEVICES, now - _DEVICE_GRACE, _DEVICE_SAMPLE
        )


def _cursor(last: Session) -> str:
    micros = (last.created_at - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(_CURSOR.pack(micros, last.session_id.bytes)).decode()


def _read_cursor(page_token: str) -> tuple[datetime, UUID]:
    try:
        packed = base64.b64decode(page_token, altchars=b"-_", validate=True)
        micros, last_id = _CURSOR.unpack(packed)
        return _EPOCH + micros * _MICROSECOND, UUID(bytes=last_id)
    except (binascii.Error, struct.error, OverflowError, ValueError) as error:
        raise invalid_field("page_token", "not a page token of this list") from error
