"""What an operator does to the database directly, not through the service."""

from token_service.adapters.postgres import trust
from token_service.adapters.postgres.migrate import MigrationError, pending
from token_service.adapters.postgres.migrate import migrate as apply_all
from token_service.adapters.postgres.pool import Database
from token_service.app.errors import StartupError
from token_service.app.parts import Parts
from token_service.config import Settings
from token_service.domain.records import AuditEvent
from token_service.usecases.bootstrap import (
    ACTOR,
    BootstrapClient,
    ClientCredentials,
    bootstrap_administrator,
)
from token_service.usecases.token_limits import TokenLimits


def migrate(dsn: str) -> list[str]:
    """Apply the migrations that are missing; their names. Blocks. Raises StartupError."""
    try:
        missing = pending(dsn)
        apply_all(dsn)
    except MigrationError as error:
        raise StartupError(f"cannot migrate the database: {error}") from error
    return missing


async def bootstrap(settings: Settings, client_id: str, name: str) -> ClientCredentials:
    """Write an administrator to the store. Raises StartupError, CLIENT_STATE for a client that is
    in use, FIELD_INVALID."""
    parts = await Parts.open(settings)
    try:
        create = BootstrapClient(
            parts.clients, parts.secrets, parts.clock, parts.random, TokenLimits(parts.tokens)
        )
        return await bootstrap_administrator(create, client_id, name)
    finally:
        await parts.close()


async def fence(dsn: str, above: int) -> int:
    """After a restore: begin a new trust log at a revision greater than `above` and than all that
    any node may have seen, in which nothing issued so far is accepted; that revision.

    Raises StartupError for a database without a trust log, STORE_UNAVAILABLE.
    """
    database = await Database.open(dsn, size=1, application_name="token-service restore-fence")
    try:
        async with database.transaction() as connection:
            now = await connection.fetchval("SELECT clock_timestamp()")
            audit = AuditEvent(now, ACTOR, "trust.fence", "ok")
            revision = await trust.fence(connection, min_revision=above, audit=audit)
    finally:
        await database.close()
    if revision is None:
        raise StartupError("the trust log has no head row: restore the database again")
    return revision
