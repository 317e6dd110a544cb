"""Whether a database can be trusted with revocations: durable, primary, new enough, replicated."""

from collections.abc import Mapping
from dataclasses import dataclass

from token_service.adapters.postgres.pool import Connection, Database
from token_service.adapters.postgres.replication import SYNCHRONOUS

MIN_VERSION = 150000
"""PostgreSQL 15, as `server_version_num`."""


class UnsafeStoreError(Exception):
    """The database may forget what it acknowledged, or cannot be written; the text says why."""


@dataclass(frozen=True, slots=True)
class ManagedService:
    """A service that keeps commits in a storage of its own, and so leaves some settings of
    PostgreSQL `off`. That counts only while commits wait for that storage, which stands in
    `synchronous_standby_names`."""

    off: frozenset[str]
    storage: str


MANAGED: Mapping[str, ManagedService] = {
    "neon": ManagedService(frozenset({"fsync"}), "walproposer")
}
"""By the name under which they are allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """What the server says of itself. A setting that it does not have is None.

    `synchronous` says that commits wait until a standby has flushed them; `standbys` counts who
    replicates from it now.
    """

    version: int
    synchronous_commit: str | None
    fsync: str | None
    full_page_writes: str | None
    is_primary: bool
    is_writable: bool
    synchronous_standby_names: str
    synchronous: bool
    standbys: int

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

    def off(self) -> tuple[str, ...]:
        """Which settings are off that keep what was acknowledged through a crash."""
        settings = {
            "synchronous_commit": self.synchronous_commit,
            "fsync": self.fsync,
            "full_page_writes": self.full_page_writes,
        }
        return tuple(name for name, value in settings.items() if value == "off")

    def made_up_for(self, managed_by: str | None) -> frozenset[str]:
        """The settings that may be off, as the named service has the commits in its storage."""
        service = MANAGED.get(managed_by or "")
        if service is None or not self.synchronous:
            return frozenset()
        waits = self.synchronous_standby_names.strip() == service.storage
        return service.off if waits else frozenset()

    def lossy(self, managed_by: str | None = None) -> tuple[str, ...]:
        """Why the server may lose in a crash what it acknowledged."""
        made_up_for = self.made_up_for(managed_by)
        return tuple(f"{name} is off" for name in self.off() if name not in made_up_for)

    @property
    def alone(self) -> bool:
        """Whether it replicates to nobody, and nobody is to wait for a standby."""
        return not self.standbys and not self.synchronous_standby_names.strip()

    def asynchronous(self) -> str:
        """Why a failover may lose what was acknowledged; empty where commits wait for a standby."""
        if self.synchronous:
            return ""
        if not self.synchronous_standby_names.strip():
            return "synchronous_standby_names is empty"
        if self.synchronous_commit == "remote_write":
            return "synchronous_commit is remote_write, and standbys acknowledge before they flush"
        return f"synchronous_commit is {self.synchronous_commit}, and commits wait for no standby"


_INSPECT = f"""
SELECT current_setting('server_version_num')::int AS version,
       current_setting('synchronous_commit', true) AS synchronous_commit,
       current_setting('fsync', true) AS fsync,
       current_setting('full_page_writes', true) AS full_page_writes,
       NOT pg_is_in_recovery() AS is_primary,
       current_setting('default_transaction_read_only') = 'off' AS is_writable,
       current_setting('synchronous_standby_names') AS synchronous_standby_names,
       {SYNCHRONOUS} AS synchronous,
       (SELECT count(*) FROM pg_stat_replication)::int AS standbys
"""  # noqa: S608 - a constant


async def inspect(store: "Database | Connection") -> StoreHealth:
    """Ask the server. Raises what `store` raises."""
    row = await store.fetchrow(_INSPECT)
    if row is None:
        raise UnsafeStoreError("the database does not tell its settings")
    return StoreHealth(**row)


async def check_durability(
    database: Database, *, allow_lossy: bool = False, managed_by: str | None = None
) -> StoreHealth:
    """Raise UnsafeStoreError, naming each setting, unless the database can be trusted.

    `allow_lossy` accepts settings that may lose acknowledged writes (tests, throw-away data);
    `managed_by` those that a managed service makes up for, by its name in MANAGED.
    """
    health = await inspect(database)
    reasons = (*health.unusable(), *(() if allow_lossy else health.lossy(managed_by)))
    if reasons:
        raise UnsafeStoreError(f"the database cannot be used: {'; '.join(reasons)}")
    return health
