"""Sessions: one row each, ever, and one statement for each thing that happens to them."""

import base64
import binascii
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.failures import retry_deadlock
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.rows import (
    NEW_COLUMNS,
    NEW_COUNT,
    NEW_VALUES,
    NOT_REVOKED,
    PLACE,
    SESSION_COLUMNS,
    VIEW_COLUMNS,
    VIEW_JOINS,
    count_of,
    not_expired,
    session_args,
    session_from_row,
    subject_ids,
    view_from_row,
)
from token_service.domain.errors import invalid_field
from token_service.domain.kinds import ClientState, KeyState
from token_service.domain.ports import (
    Inserted,
    IssueGuard,
    PlainAdvance,
    SessionAdvance,
    SessionPage,
)
from token_service.domain.records import AuditEvent, Session, SessionView

# The checks, the trust head that gives the new row its `rev`, and the insert share one snapshot:
# a revocation that committed before it refuses, one that commits after it has a higher revision
# and kills what was just made.
_INSERT = f"""
WITH allowed AS (
    SELECT h.revision
    FROM trust_head h
    JOIN clients c ON c.client_id = {PLACE["client_id"]}
    LEFT JOIN users u ON u.user_id = {PLACE["user_id"]}
    LEFT JOIN attempts a ON a.bucket = ${NEW_COUNT + 4}::bytea
    WHERE h.config_version = ${NEW_COUNT + 1}::bigint
      AND c.state = {ClientState.ACTIVE}
      AND ({PLACE["user_id"]} IS NULL
           OR (u.disabled_at IS NULL
               AND u.version = ${NEW_COUNT + 2}::bigint
               AND u.credential_version = ${NEW_COUNT + 3}::integer))
      AND (a.locked_until IS NULL OR a.locked_until <= {PLACE["created_at"]})
), inserted AS (
    INSERT INTO sessions ({NEW_COLUMNS}, rev)
    SELECT {NEW_VALUES}, allowed.revision FROM allowed
    RETURNING rev
), audited AS ({audit_log.insert_from("inserted", NEW_COUNT + 5)})
SELECT rev FROM inserted
"""  # noqa: S608 - fragments are constants

_VIEW = f"""
SELECT {VIEW_COLUMNS} FROM sessions s {VIEW_JOINS} WHERE s.lookup_id = $1
"""  # noqa: S608

# Only the session's row is locked. After a wait for it, the row is checked again as it is by
# then, the others as they were in the snapshot: what revoked them meanwhile has a higher revision
# than the one returned, and every later exchange checks the session's own `rev` again.
_ADVANCE = f"""
WITH advanced AS (
    UPDATE sessions s
    SET generation = s.generation + 1,
        mint_kid = $3::text,
        exchange_hash = $4::bytea,
        rotated_at = $5::timestamptz,
        last_active_at = GREATEST(s.last_active_at, $5::timestamptz),
        idle_seconds = $6::integer,
        idle_expires_at = LEAST(s.absolute_expires_at, $7::timestamptz),
        roles = $8::text[],
        auth_time = COALESCE($11::timestamptz, s.auth_time),
        acr = COALESCE($12::smallint, s.acr),
        amr = COALESCE($13::smallint, s.amr)
    FROM trust_head h, clients c, keys k
    WHERE s.session_id = $1::uuid
      AND s.generation = $2::integer
      AND s.revoked_at IS NULL
      AND {not_expired("$5::timestamptz")}
      AND h.config_version = $9::bigint
      AND c.client_id = s.client_id AND c.state = {ClientState.ACTIVE}
      AND k.kid = s.mint_kid AND k.state <> {KeyState.COMPROMISED}
      AND s.rev >= h.valid_rev
      AND s.rev >= c.valid_rev
      AND CASE WHEN s.user_id IS NULL THEN s.rev >= c.own_valid_rev
          ELSE EXISTS (
              SELECT FROM users u
              WHERE u.user_id = s.user_id AND u.disabled_at IS NULL
                AND u.version = $10::bigint AND s.rev >= u.valid_rev) END
      AND NOT EXISTS (
          SELECT FROM revoked_devices d
          WHERE d.subject = COALESCE(s.user_id::text, s.client_id)
            AND d.device_id = s.device_id AND s.rev < d.valid_rev)
    RETURNING h.revision
), audited AS ({audit_log.insert_from("advanced", 14)})
SELECT revision FROM advanced
"""  # noqa: S608

# The common case of an exchange in one round trip. It asks for more than `_ADVANCE`: that the token
# is the current one of this client, and that neither policy nor roles took anything away since
# the login. Where it does not apply, `decide_exchange` decides on what `_VIEW` reads.
_ADVANCE_PLAINLY = f"""
WITH advanced AS (
    UPDATE sessions s
    SET generation = s.generation + 1,
        mint_kid = $11::text,
        exchange_hash = $12::bytea,
        rotated_at = $13::timestamptz,
        last_active_at = GREATEST(s.last_active_at, $13::timestamptz),
        idle_expires_at = LEAST(
            s.absolute_expires_at, $13::timestamptz + make_interval(secs => s.idle_seconds))
    FROM trust_head h, clients c, keys k
    WHERE s.lookup_id = $1::uuid
      AND s.generation = $2::integer
      AND s.mint_kid = $3::text
      AND s.client_id = $4::text
      AND (s.confirmation IS NULL OR s.confirmation = $5::bytea)
      AND s.audiences @> $6::text[] AND s.scopes @> $7::text[]
      AND s.audiences <@ $8::text[] AND s.scopes <@ $9::text[]
      AND s.idle_seconds = ($10::integer[])[s.platform]
      AND s.revoked_at IS NULL
      AND {not_expired("$13::timestamptz")}
      AND h.config_version = $14::bigint
      AND c.client_id = s.client_id AND c.state = {ClientState.ACTIVE}
      AND k.kid = s.mint_kid AND k.state <> {KeyState.COMPROMISED}
      AND s.rev >= h.valid_rev
      AND s.rev >= c.valid_rev
      AND CASE WHEN s.user_id IS NULL THEN s.rev >= c.own_valid_rev
          ELSE EXISTS (
              SELECT FROM users u
              WHERE u.user_id = s.user_id AND u.disabled_at IS NULL
                AND s.rev >= u.valid_rev AND s.roles = u.roles
                AND s.scopes <@ ARRAY(
                    SELECT scope FROM roles r, unnest(r.scopes) AS scope
                    WHERE r.role = ANY (u.roles))) END
      AND NOT EXISTS (
          SELECT FROM revoked_devices d
          WHERE d.subject = COALESCE(s.user_id::text, s.client_id)
            AND d.device_id = s.device_id AND s.rev < d.valid_rev)
    RETURNING {SESSION_COLUMNS}, h.revision
), audited AS (
    INSERT INTO audit_log ({audit_log.AUDIT_COLUMNS})
    SELECT $13::timestamptz, $15::text, $16::text, session_id::text,
           COALESCE(user_id::text, client_id), $17::text, $18::text, $19::text,
           'generation=' || generation
    FROM advanced
)
SELECT * FROM advanced
"""  # noqa: S608

_GET = f"SELECT {SESSION_COLUMNS} FROM sessions s WHERE s.session_id = $1"  # noqa: S608

_PAGE = f"""
SELECT {SESSION_COLUMNS} FROM sessions s {VIEW_JOINS}
WHERE (s.user_id = $1::uuid OR (s.user_id IS NULL AND s.client_id = $2::text))
  AND ($3::text IS NULL OR s.client_id = $3)
  AND (s.created_at, s.session_id) < ($4::timestamptz, $5::uuid)
  AND {NOT_REVOKED} AND {not_expired("$6::timestamptz")}
ORDER BY s.created_at DESC, s.session_id DESC
LIMIT $7
"""  # noqa: S608

# Rows that are locked just now are being exchanged or revoked, which needs no help from here;
# skipping them means that this never waits and never takes part in a deadlock.
_ACTIVITY = f"""
WITH seen AS (
    SELECT session_id, LEAST(max(at), $3::timestamptz) AS at
    FROM unnest($1::uuid[], $2::timestamptz[]) AS reported (session_id, at)
    GROUP BY session_id
), live AS (
    SELECT s.session_id, seen.at
    FROM seen JOIN sessions s ON s.session_id = seen.session_id {VIEW_JOINS}
    WHERE {NOT_REVOKED} AND {not_expired("$3::timestamptz")}
      AND seen.at > s.last_active_at
      AND ($4::text[] IS NULL OR s.audiences && $4::text[])
    ORDER BY s.session_id
    FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE sessions s
SET last_active_at = live.at,
    idle_expires_at = LEAST(s.absolute_expires_at, GREATEST(
        s.idle_expires_at, live.at + make_interval(secs => s.idle_seconds)))
FROM live WHERE s.session_id = live.session_id
"""  # noqa: S608

_SWEEP = """
DELETE FROM sessions WHERE session_id IN (
    SELECT session_id FROM sessions WHERE absolute_expires_at <= $1
    ORDER BY absolute_expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
"""

_UUID = "^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"
# A device's row is needed while a session exists that it kills. Inserts still in flight when it
# was written are over long before the grace period is. A sample keeps the cost of one sweep
# bounded; in time each row is in one.
_SWEEP_DEVICES = f"""
WITH sample AS (
    SELECT subject, device_id, valid_rev,
           CASE WHEN subject ~ '{_UUID}' THEN subject::uuid END AS user_id
    FROM revoked_devices WHERE revoked_at < $1 ORDER BY random() LIMIT $2
)
DELETE FROM revoked_devices d USING sample
WHERE d.subject = sample.subject AND d.device_id = sample.device_id
  AND d.valid_rev = sample.valid_rev
  AND NOT EXISTS (
      SELECT FROM sessions s
      WHERE s.user_id = sample.user_id
        AND s.device_id = sample.device_id AND s.rev < sample.valid_rev)
  AND NOT EXISTS (
      SELECT FROM sessions s
      WHERE s.user_id IS NULL AND s.client_id = sample.subject
        AND s.device_id = sample.device_id AND s.rev < sample.valid_rev)
"""  # noqa: S608
_DEVICE_SAMPLE = 200
_DEVICE_GRACE = timedelta(days=1)

_CURSOR = struct.Struct(">q16s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NEWEST = (datetime(9999, 1, 1, tzinfo=UTC), UUID(int=0))


class SessionStore:
    """`domain.ports.SessionStore` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(
        self, session: Session, guard: IssueGuard, audit: AuditEvent
    ) -> Inserted | None:
        """Insert the session with its audit row; None: the guard no longer holds."""
        row = await self._database.fetchrow(
            _INSERT,
            *session_args(session),
            guard.config_version,
            guard.user_version,
            guard.credential_version,
            guard.attempt_bucket,
            *audit_log.args(audit),
        )
        return None if row is None else Inserted(row["rev"])

    async def view(self, lookup_id: UUID) -> SessionView | None:
        """A session by lookup id with all that decides over it, in one snapshot."""
        row = await self._database.fetchrow(_VIEW, lookup_id)
        return None if row is None else view_from_row(row)

    async def advance(self, change: SessionAdvance, audit: AuditEvent) -> int | None:
        """Move the session one generation on, with its audit row; the trust revision of the
        snapshot, or None: something changed, decide again."""
        row = await retry_deadlock(
            lambda: self._database.fetchrow(
                _ADVANCE,
                change.session_id,
                change.from_generation,
                change.mint_kid,
                change.exchange_hash,
                change.at,
                change.idle_seconds,
                change.idle_expires_at,
                change.roles,
                change.config_version,
                change.user_version,
                change.auth_time,
                change.acr,
                change.amr,
                *audit_log.args(audit),
            )
        )
        return None if row is None else int(row["revision"])

    async def advance_plainly(
        self, change: PlainAdvance, audit: AuditEvent
    ) -> tuple[Session, int] | None:
        """The plain exchange in one statement; None: not the plain case."""
        row = await retry_deadlock(
            lambda: self._database.fetchrow(
                _ADVANCE_PLAINLY,
                change.lookup_id,
                change.generation,
                change.presented_mint_kid,
                change.client_id,
                change.confirmation,
                change.audiences,
                change.scopes,
                change.client_audiences,
                change.client_scopes,
                change.idle_seconds,
                change.mint_kid,
                change.exchange_hash,
                change.at,
                change.config_version,
                audit.actor,
                audit.action,
                audit.outcome,
                audit.request_id,
                audit.address,
            )
        )
        return None if row is None else (session_from_row(row), row["revision"])

    async def get(self, session_id: UUID) -> Session | None:
        """A session by its public id."""
        row = await self._database.fetchrow(_GET, session_id)
        return None if row is None else session_from_row(row)

    async def page(
        self, subject: str, client_id: str | None, page_size: int, page_token: str, now: datetime
    ) -> SessionPage:
        """Live sessions of a subject, newest first. Raises FIELD_INVALID for `page_token`."""
        before = _read_cursor(page_token) if page_token else _NEWEST
        rows = await self._database.fetch(
            _PAGE, *subject_ids(subject), client_id, *before, now, page_size + 1
        )
        sessions = tuple(session_from_row(row) for row in rows[:page_size])
        more = len(rows) > page_size
        return SessionPage(sessions, _cursor(sessions[-1]) if more and sessions else "")

    async def record_activity(
        self,
        seen: Sequence[tuple[UUID, datetime]],
        now: datetime,
        audiences: Sequence[str] | None = None,
    ) -> int:
        """Push idle deadlines of live sessions forward; how many rows changed."""
        if not seen:
            return 0
        ids, times = zip(*seen, strict=True)
        wanted = None if audiences is None else list(audiences)
        return count_of(await self._database.execute(_ACTIVITY, ids, times, now, wanted))

    async def sweep(self, now: datetime, limit: int) -> int:
        """Delete up to `limit` sessions past their absolute expiry, and revocations of devices
        that no session is left for."""
        swept = count_of(await self._database.execute(_SWEEP, now, limit))
        await self._database.execute(_SWEEP_DEVICES, now - _DEVICE_GRACE, _DEVICE_SAMPLE)
        return swept


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
