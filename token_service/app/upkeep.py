"""What an operator does to the database directly, not through the service."""

import asyncio
from dataclasses import dataclass

import asyncpg

from token_service.adapters.postgres.connecting import Source
from token_service.adapters.postgres.dsn import Dsn
from token_service.adapters.postgres.migrate import MigrationError
from token_service.adapters.postgres.migrate import migrate as apply_all
from token_service.adapters.postgres.schema import Schema
from token_service.adapters.postgres.trust import epochs
from token_service.app.database import NOT_MIGRATED, open_database, schema_of
from token_service.app.errors import StartupError
from token_service.app.parts import Parts
from token_service.app.usecases.offline import bootstrap_client
from token_service.config import Settings
from token_service.domain.audit import Actor, AuditEvent
from token_service.domain.errors import TokenServiceError
from token_service.usecases.clients.bootstrap import (
    ClientCredentials,
    bootstrap_administrator,
)

_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Migrated:
    """What became of a database: the files that were `applied`, and the migrations that make its
    schema `newer` than this version, which leaves it as it is."""

    applied: tuple[str, ...]
    newer: tuple[str, ...]


def migrate(source: Source) -> Migrated:
    """Apply the migrations that are missing. Blocks, and runs a loop of its own meanwhile.

    Raises StartupError, also for a database that has migrations of another version and lacks some
    of this one: in which order they go is for a version to say that ships them all.
    """
    schema, primary = asyncio.run(_schema_at(source))
    if schema.missing and schema.newer:
        raise StartupError(
            f"the database has migrations that this version does not ship "
            f"({', '.join(schema.newer)}) and lacks {', '.join(schema.missing)}: "
            "migrate with a version that ships them all"
        )
    if schema.missing:
        try:
            apply_all(primary)
        except MigrationError as error:
            raise StartupError(f"cannot migrate the database: {error}") from error
    return Migrated(applied=schema.missing, newer=schema.newer)


async def _schema_at(source: Source) -> tuple[Schema, Dsn]:
    """The schema, and the address of the primary alone."""
    database = await open_database(source, "migrate", size=1, call_timeout=_SECONDS)
    try:
        return await schema_of(database), database.address
    finally:
        await database.close()


async def bootstrap(settings: Settings, client_id: str, name: str) -> ClientCredentials:
    """Write an administrator to the store. Raises StartupError, CLIENT_STATE for a client that is
    in use, FIELD_INVALID."""
    parts = await Parts.open(settings)
    try:
        return await bootstrap_administrator(bootstrap_client(parts), client_id, name)
    finally:
        await parts.close()


async def fence(source: Source, above: int) -> int:
    """After a restore: begin a new trust log at a revision greater than `above` and than all that
    any node may have seen, in which nothing issued so far is accepted; that revision.

    Raises StartupError for a database that cannot be reached or has no trust log,
    STORE_UNAVAILABLE.
    """
    database = await open_database(source, "restore-fence", size=1, call_timeout=_SECONDS)
    try:
        async with database.transaction() as connection:
            now = await connection.fetchval("SELECT clock_timestamp()")
            audit = AuditEvent(at=now, actor=Actor.COMMAND_LINE, action="trust.fence", outcome="ok")
            revision = await epochs.fence(connection, min_revision=above, audit=audit)
    except TokenServiceError as error:
        if isinstance(error.__cause__, asyncpg.UndefinedTableError):
            raise StartupError(NOT_MIGRATED) from error
        raise
    finally:
        await database.close()
    if revision is None:
        raise StartupError("the trust log has no head row: restore the database again")
    return revision
