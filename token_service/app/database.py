"""The database of a deployment: reached, trustworthy, and with a schema that this version knows."""

import asyncpg
import structlog

from token_service.adapters.postgres.connecting import Pooler, Source, cause
from token_service.adapters.postgres.dsn import DsnError
from token_service.adapters.postgres.failures import cause_of
from token_service.adapters.postgres.health import (
    StoreHealth,
    UnsafeStoreError,
    check_durability,
)
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.schema import Schema, read_schema
from token_service.app.errors import StartupError
from token_service.config import Settings
from token_service.domain.errors import TokenServiceError

_SETTING = "TOKEN_SERVICE_POSTGRES_DSN"
_log = structlog.get_logger("token_service")

NOT_MIGRATED = f"{_SETTING}: the database is not migrated: run `token-service migrate`"


def main_source(settings: Settings) -> Source:
    """Where the database is."""
    return Source(
        text=settings.postgres_dsn.get_secret_value(),
        setting=_SETTING,
        file=settings.file_of("postgres_dsn"),
        pooler=Pooler(settings.postgres_pooler),
    )


def direct_source(settings: Settings) -> Source:
    """Where it is without a pooler, for what needs sessions that last."""
    if settings.postgres_direct_dsn is None:
        return main_source(settings)
    return Source(
        text=settings.postgres_direct_dsn.get_secret_value(),
        setting="TOKEN_SERVICE_POSTGRES_DIRECT_DSN",
        file=settings.file_of("postgres_direct_dsn"),
    )


async def open_database(
    source: Source, name: str, *, size: int, call_timeout: float, direct: Source | None = None
) -> Database:
    """Connect as `token-service <name>`; `call_timeout` is in seconds. Raises StartupError."""
    try:
        return await Database.open(
            source,
            direct=direct,
            size=size,
            call_timeout=call_timeout,
            application_name=f"token-service {name}",
        )
    except DsnError as error:
        raise StartupError(f"{source.setting}: {error}") from None
    except TokenServiceError as error:
        raise StartupError(f"{source.setting}: {cause(error.__cause__)}") from error


async def require_direct(database: Database, direct: Source) -> None:
    """Raises StartupError where no connection past a pooler can be had."""
    try:
        conn = await database.connect("probe")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartupError(f"{direct.setting}: {cause(error)}") from error
    await conn.close(timeout=database.call_timeout)


async def schema_of(database: Database) -> Schema:
    """Raises StartupError where the schema cannot be read, such as for want of a privilege."""
    try:
        return await read_schema(database)
    except TokenServiceError as error:
        raise StartupError(f"{_SETTING}: the schema cannot be read: {cause_of(error)}") from error


async def require_usable(database: Database, settings: Settings) -> Schema:
    """The schema, which may be newer than this version: a rolling upgrade begins with it.

    Raises StartupError for a database that may lose what it acknowledged, as far as the settings
    do not permit that, or lacks migrations; STORE_UNAVAILABLE.
    """
    try:
        health = await check_durability(
            database,
            allow_lossy=settings.allow_unsafe_durability,
            managed_by=settings.postgres_managed_by,
        )
    except UnsafeStoreError as error:
        raise StartupError(f"{_SETTING}: {error}") from error
    _judge_replication(health, settings)
    schema = await schema_of(database)
    if schema.missing:
        raise StartupError(NOT_MIGRATED)
    return schema


def _judge_replication(health: StoreHealth, settings: Settings) -> None:
    """Refuse or report that a failover may lose what was acknowledged, and what is let pass because
    of a managed service. Raises StartupError."""
    if made_up_for := health.made_up_for(settings.postgres_managed_by) & set(health.off()):
        _log.warning(
            "durability_is_left_to_the_service",
            service=settings.postgres_managed_by,
            off=sorted(made_up_for),
        )
    cause = health.asynchronous()
    if cause and settings.postgres_synchronous == "required":
        raise StartupError(
            f"TOKEN_SERVICE_POSTGRES_SYNCHRONOUS: synchronous replication is required: {cause}"
        )
    if cause and not health.alone:
        _log.warning("replication_is_asynchronous", cause=cause, standbys=health.standbys)
