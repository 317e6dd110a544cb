"""Keys: every change moves the version that all nodes and validators follow."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from asyncpg import Record

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.command_tags import count_of
from token_service.adapters.postgres.locked import RowLocked, until_free
from token_service.adapters.postgres.pairing import store as pairings
from token_service.adapters.postgres.pool import Connection, Database, retry_deadlock
from token_service.adapters.postgres.trust import log as trust
from token_service.adapters.postgres.trust_head import QUEUE
from token_service.domain import durability
from token_service.domain.audit import AuditEvent
from token_service.domain.codes import decision as codes
from token_service.domain.keys.key import Key, PepperUse
from token_service.domain.kinds import ClientState, KeyPurpose, KeyState
from token_service.domain.ports import KeyChange

_COLUMNS = (
    "kid, purpose, algorithm, state, secret_key_id, sealed_private, public_key, "
    "created_at, activates_at, retires_at, compromised_at"
)
_ALL = f"SELECT {_COLUMNS} FROM keys ORDER BY created_at, kid"  # noqa: S608 - constants
_VALUES = """$1::text, $2::smallint, $3::text, $4::smallint, $5::text, $6::bytea, $7::bytea,
    $8::timestamptz, $9::timestamptz, $10::timestamptz, $11::timestamptz"""
_INSERT = f"INSERT INTO keys ({_COLUMNS}) VALUES ({_VALUES})"  # noqa: S608
_PUBLISHED = trust.appending("entries", now="$12", keys="1")
_INSERT_AND_PUBLISH = f"""
WITH entries AS MATERIALIZED (SELECT {trust.NO_ENTRY}), {_PUBLISHED}, inserted AS (
    INSERT INTO keys ({_COLUMNS}) SELECT {_VALUES} FROM head
), audited AS ({audit_log.insert_from("head", 12)})
SELECT revision, {trust.NOTIFIED} FROM head
"""  # noqa: S608

# Taken before anything else, so that who starts second waits here and then sees the first one's
# keys. Nothing is locked after it, which keeps it the last lock all the same.
_LOCK_HEAD = f"{QUEUE}; SELECT FROM trust_head FOR UPDATE"
_LIVE_SLOTS = f"""
SELECT DISTINCT purpose, algorithm FROM keys
WHERE state IN ({KeyState.PENDING}, {KeyState.ACTIVE})
"""  # noqa: S608

_IS_FREE = """
WITH held AS MATERIALIZED (
    SELECT kid FROM keys WHERE kid = ANY ($1::text[]) FOR NO KEY UPDATE SKIP LOCKED
)
SELECT NOT EXISTS (SELECT FROM keys WHERE kid = ANY ($1::text[])
                   AND kid NOT IN (SELECT kid FROM held))
"""
_CHANGE = f"""
UPDATE keys k
SET state = change.new_state,
    retires_at = COALESCE(change.retires_at, k.retires_at),
    compromised_at = CASE WHEN change.new_state = {KeyState.COMPROMISED} THEN $5::timestamptz
                          ELSE k.compromised_at END
FROM unnest($1::text[], $2::smallint[], $3::smallint[], $4::timestamptz[])
     AS change (kid, old_state, new_state, retires_at)
WHERE k.kid = change.kid AND k.state = change.old_state
"""  # noqa: S608


_USING_CLIENTS = 4  # to be named; there may be thousands
_PEPPER_USES = f"""
SELECT k.kid, ARRAY(
    SELECT client_id FROM client_secrets
    WHERE pepper_id = k.kid AND (expires_at IS NULL OR expires_at > $1)
    UNION SELECT client_id FROM clients
    WHERE registration_pepper = k.kid AND registration_hash IS NOT NULL
        AND state <> {ClientState.REJECTED}
    ORDER BY client_id LIMIT {_USING_CLIENTS}
) AS clients, (SELECT max(expires_at) FROM codes WHERE pepper_id = k.kid) AS codes_until,
    (SELECT max(ends_at) FROM pairings WHERE pepper_id = k.kid) AS pairings_until
FROM keys k
WHERE k.purpose = {KeyPurpose.PEPPER} AND k.state = {KeyState.RETIRING}
ORDER BY k.created_at, k.kid
"""  # noqa: S608


class KeyStore:
    """`domain.ports.KeyStore` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[Key, ...]:
        """All keys ever, oldest first."""
        return tuple(_key(row) for row in await self._database.fetch(_ALL))

    async def insert(self, key: Key, audit: AuditEvent) -> None:
        """Add a key with its audit row."""
        await retry_deadlock(lambda: self._insert(key, audit))

    async def bootstrap(self, keys: Sequence[Key], audit: AuditEvent) -> None:
        """Add those of `keys` for whose purpose and algorithm there is no PENDING or ACTIVE key,
        with one audit row. Of nodes that start at the same time, one does."""
        await retry_deadlock(lambda: self._bootstrap(keys, audit))

    async def change(self, changes: Sequence[KeyChange], audit: AuditEvent) -> int:
        """Apply those whose state is still as decided, with one audit row; how many were."""
        if not changes:
            return 0
        return await until_free(lambda: self._change(changes, audit), self._database)

    async def pepper_uses(self, now: datetime) -> tuple[PepperUse, ...]:
        """What depends on each pepper that is RETIRING."""
        return tuple(_use(row) for row in await self._database.fetch(_PEPPER_USES, now))

    async def _insert(self, key: Key, audit: AuditEvent) -> None:
        args = (*_args(key), *audit_log.args(audit))
        row = await self._database.change(_INSERT_AND_PUBLISH, *args)
        if row is None:
            raise self._database.fencing.moved()
        durability.note_commit()

    async def _bootstrap(self, keys: Sequence[Key], audit: AuditEvent) -> None:
        async with self._database.transaction() as conn:
            await conn.execute(_LOCK_HEAD)
            live = {(row["purpose"], row["algorithm"]) for row in await conn.fetch(_LIVE_SLOTS)}
            missing = [key for key in keys if (key.purpose, key.algorithm) not in live]
            if missing:
                await conn.executemany(_INSERT, [_args(key) for key in missing])
                await _publish(conn, audit)

    async def _change(self, changes: Sequence[KeyChange], audit: AuditEvent) -> int:
        kids = [change.kid for change in changes]
        async with self._database.transaction() as conn:
            if not await conn.fetchval(_IS_FREE, kids):
                raise RowLocked
            tag = await conn.execute(
                _CHANGE,
                kids,
                [change.from_state for change in changes],
                [change.to_state for change in changes],
                [change.retires_at for change in changes],
                audit.at,
            )
            applied = count_of(tag)
            if applied:
                await _publish(conn, audit)
            return applied


async def _publish(conn: Connection, audit: AuditEvent) -> None:
    await audit_log.write(conn, audit)
    await trust.append(conn, [], now=audit.at, bump_keys=True)


def _args(key: Key) -> tuple[object, ...]:
    return (
        key.kid,
        key.purpose,
        key.algorithm,
        key.state,
        key.secret_key_id,
        key.sealed_private or None,
        key.public_key,
        key.created_at,
        key.activates_at,
        key.retires_at,
        key.compromised_at,
    )


def _use(row: Record) -> PepperUse:
    return PepperUse(
        row["kid"],
        tuple(row["clients"]),
        codes_until=_after(row["codes_until"], codes.REMEMBERED),
        pairings_until=_after(row["pairings_until"], pairings.REMEMBERED),
    )


def _after(end: datetime | None, remembered: timedelta) -> datetime | None:
    return None if end is None else end + remembered


def _key(row: Record) -> Key:
    return Key(
        kid=row["kid"],
        purpose=KeyPurpose(row["purpose"]),
        algorithm=row["algorithm"],
        state=KeyState(row["state"]),
        secret_key_id=row["secret_key_id"],
        public_key=row["public_key"],
        sealed_private=row["sealed_private"] or b"",
        created_at=row["created_at"],
        activates_at=row["activates_at"],
        retires_at=row["retires_at"],
        compromised_at=row["compromised_at"],
    )
