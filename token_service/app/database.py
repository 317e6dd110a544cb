"""The database of a deployment: reached, trustworthy, and with a schema that this version knows."""

import asyncpg

from token_service.adapters.postgres.health import UnsafeStoreError, check_durability
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.schema import Schema, read_schema
from token_service.app.errors import StartupError
from token_service.domain.errors import TokenServiceError

_SETTING = "TOKEN_SERVICE_POSTGRES_DSN"
NOT_MIGRATED = f"{_SETTING}: the database is not migrated: run `token-service migrate`"


async def open_database(dsn: str, name: str, *, size: int, call_timeout: float) -> Database:
    """Connect as `token-service <name>`; `call_timeout` is in seconds. Raises StartupError."""
    try:
        return await Database.open(
            dsn, size=size, call_timeout=call_timeout, application_name=f"token-service {name}"
        )
    except TokenServiceError as error:
        raise StartupError(f"{_SETTING}: PostgreSQL does not answer") from error
    except asyncpg.PostgresError as error:
        raise StartupError(
            f"{_SETTING}: PostgreSQL refuses the connection: {type(error).__name__}"
        ) from error


async def schema_of(database: Database) -> Schema:
    """Raises StartupError where the user may not read the schema, STORE_UNAVAILABLE."""
    try:
        return await read_schema(database)
    except asyncpg.PostgresError as error:
        raise StartupError(
            f"{_SETTING}: the schema cannot be read: {type(error).__name__}"
        ) from error


async def require_usable(database: Database, *, allow_lossy: bool) -> Schema:
    """The schema, which may be newer than this version: a rolling upgrade begins with it.

    Raises StartupError for a database that may lose what it acknowledged (`allow_lossy` permits
    that) or lacks migrations, STORE_UNAVAILABLE.
    """
    try:
        await check_durability(database, allow_lossy=allow_lossy)
    except UnsafeStoreError as error:
        raise StartupError(f"{_SETTING}: {error}") from error
    schema = await schema_of(database)
    if schema.missing:
        raise StartupError(NOT_MIGRATED)
    return schema
