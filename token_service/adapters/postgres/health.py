"""Whether a database can be trusted with revocations: durable, primary, new enough."""

from dataclasses import dataclass

from token_service.adapters.postgres.pool import Database

MIN_VERSION = 150000
"""PostgreSQL 15, as `server_version_num`."""


class UnsafeStoreError(Exception):
    """The database may forget what it acknowledged, or cannot be written; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """What the server says of itself. A setting that it does not have is None."""

    version: int
    synchronous_commit: str | None
    fsync: str | None
    full_page_writes: str | None
    is_primary: bool
    is_writable: bool

    def unusable(self) -> tuple[str, ...]:
        """Why the server cannot be used at all."""
        found = []
        if self.version < MIN_VERSION:
            found.append(f"server_version_num is {self.version}, at least {MIN_VERSION} is needed")
        if not self.is_primary:
            found.append("the server is a standby, the primary is needed")
        elif not self.is_writable:
            found.append("default_transaction_read_only is on")
        return tuple(found)

    def lossy(self) -> tuple[str, ...]:
        """Why the server may lose what it acknowledged."""
        settings = {
            "synchronous_commit": self.synchronous_commit,
            "fsync": self.fsync,
            "full_page_writes": self.full_page_writes,
        }
        return tuple(f"{name} is off" for name, value in settings.items() if value == "off")


_INSPECT = """
SELECT current_setting('server_version_num')::int AS version,
       current_setting('synchronous_commit', true) AS synchronous_commit,
       current_setting('fsync', true) AS fsync,
       current_setting('full_page_writes', true) AS full_page_writes,
       NOT pg_is_in_recovery() AS is_primary,
       current_setting('default_transaction_read_only') = 'off' AS is_writable
"""


async def inspect(database: Database) -> StoreHealth:
    """Ask the server. Raises STORE_UNAVAILABLE."""
    row = await database.fetchrow(_INSPECT)
    if row is None:
        raise UnsafeStoreError("the database does not tell its settings")
    return StoreHealth(**row)


async def check_durability(database: Database, *, allow_lossy: bool = False) -> StoreHealth:
    """Raise UnsafeStoreError, naming each setting, unless the database can be trusted.

    `allow_lossy` accepts settings that may lose acknowledged writes (tests, throw-away data).
    """
    health = await inspect(database)
    reasons = (*health.unusable(), *(() if allow_lossy else health.lossy()))
    if reasons:
        raise UnsafeStoreError(f"the database cannot be used: {'; '.join(reasons)}")
    return health
