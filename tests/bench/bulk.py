"""Sessions by the million: COPY into a table without indexes, which are made afterwards."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

_COLUMNS = [
    "session_id",
    "lookup_id",
    "kind",
    "platform",
    "acr",
    "amr",
    "idle_seconds",
    "rev",
    "user_id",
    "created_at",
    "auth_time",
    "rotated_at",
    "last_active_at",
    "idle_expires_at",
    "absolute_expires_at",
    "client_id",
    "mint_kid",
    "audiences",
    "scopes",
    "roles",
    "device_id",
    "device_name",
    "user_agent",
    "ip_address",
]
_CHUNK = 2_000
_SECONDS = 600
_MEMORY = "SET maintenance_work_mem = '512MB'"

_OWNERS = """
INSERT INTO users (user_id, username, password_hash, roles, created_at, updated_at)
SELECT ('20000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'owner-' || n,
       u.password_hash, u.roles, u.created_at, u.updated_at
FROM generate_series(1, $1::integer) AS n, (SELECT * FROM users LIMIT 1) AS u
"""

_CONSTRAINTS = """
SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
WHERE conrelid = 'sessions'::regclass AND contype IN ('p', 'u')
"""
_INDEXES = """
SELECT c.relname AS name, pg_get_indexdef(c.oid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = 'sessions'::regclass
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
"""


@dataclass(frozen=True, slots=True)
class _Owners:
    """Whose the sessions are: the demo user's, or by turns those of so many users of theirs."""

    demo: str
    roles: str
    count: int

    def of(self, number: int) -> str:
        if not self.count:
            return self.demo
        return f"20000000-0000-4000-8000-{1 + number % self.count:012x}"


async def load(
    dsn: str, count: int, mint_kid: str, *, owners: int = 0, over_percent: int = 0
) -> None:
    """Put sessions 1 to `count`, as a login by demo-web makes them, into the empty table. They
    are the demo user's, or those of so many `owners`, who are added with its password.
    So many percent of them are past their absolute expiry."""
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        if owners:
            await conn.execute(_OWNERS, owners, timeout=_SECONDS)
        user = await conn.fetchrow(
            "SELECT user_id::text, roles::text, clock_timestamp() AS now FROM users "
            "WHERE username NOT LIKE 'owner-%'"
        )
        if user is None:
            raise LookupError("there is no user whose the sessions could be")
        constraints, indexes = await conn.fetch(_CONSTRAINTS), await conn.fetch(_INDEXES)
        whose = _Owners(user["user_id"], user["roles"], owners)
        async with conn.transaction():
            # FREEZE, which saves a pass of VACUUM over the table, is for tables that are new.
            await conn.execute("TRUNCATE sessions")
            for one in constraints:
                await conn.execute(f"ALTER TABLE sessions DROP CONSTRAINT {one['name']}")
            for one in indexes:
                await conn.execute(f"DROP INDEX {one['name']}")
            await conn.copy_to_table(
                "sessions",
                source=_rows(count, mint_kid, whose, user["now"], over_percent),
                columns=_COLUMNS,
                freeze=True,
                timeout=_SECONDS,
            )
        await conn.execute(_MEMORY)
        for one in constraints:
            added = f"ALTER TABLE sessions ADD CONSTRAINT {one['name']} {one['definition']}"
            await conn.execute(added, timeout=_SECONDS)
        for one in indexes:
            await conn.execute(one["definition"], timeout=_SECONDS)
        await conn.execute("VACUUM (ANALYZE) sessions, users", timeout=_SECONDS)
        await conn.execute("CHECKPOINT", timeout=_SECONDS)
    finally:
        await conn.close(timeout=10)


async def _rows(
    count: int, mint_kid: str, owners: _Owners, now: datetime, over_percent: int
) -> AsyncIterator[bytes]:
    """In the text format of COPY."""
    idle = now + timedelta(days=30)
    times = "\t".join(str(time) for time in (now, now, now, now, idle))
    ends = tuple(f"{times}\t{now + timedelta(days=days)}" for days in (60, -1))
    same = (
        f"\tdemo-web\t{mint_kid}\t{{orders}}\t{{billing.read,orders.read,orders.write}}"
        f"\t{owners.roles}\tdevice-"
    )
    browser = "\tFirefox on Linux\tMozilla/5.0 (X11; Linux x86_64) Gecko/20100101\t192.0.2."
    for first in range(1, count + 1, _CHUNK):
        yield "".join(
            f"10000000-0000-4000-8000-{number:012x}\t00000000-0000-4000-8000-{number:012x}"
            f"\t1\t1\t1\t1\t1800\t0\t{owners.of(number)}"
            f"\t{ends[number * 37 % 100 < over_percent]}{same}{number}{browser}{number % 250}\n"
            for number in range(first, min(first + _CHUNK, count + 1))
        ).encode()
