"""Work on the database directly, for who has it in hand."""

from token_service.adapters.postgres import trust
from token_service.adapters.postgres.migrate import MigrationError, pending
from token_service.adapters.postgres.migrate import migrate as apply_all
from token_service.adapters.postgres.pool import Database
from token_service.app.parts import Parts
from token_service.cli.deployment import database_address, server_settings, store_environment
from token_service.cli.output import Output
from token_service.cli.problems import REFUSED, CliError
from token_service.cli.runner import run_async
from token_service.config import Settings
from token_service.domain.records import AuditEvent
from token_service.usecases.bootstrap import BootstrapClient, bootstrap_administrator

_ACTOR = "command-line"


def migrate(out: Output) -> list[str]:
    """Apply the migrations that are missing, and return their names."""
    dsn = database_address(out)
    try:
        missing = pending(dsn)
        apply_all(dsn)
    except MigrationError as error:
        raise CliError(f"cannot migrate the database: {error}", exit_code=REFUSED) from None
    return missing


def bootstrap(out: Output, client_id: str, name: str) -> tuple[str, str]:
    """Write an administrator; return its id and secret."""
    return run_async(_bootstrap(server_settings(store_environment(out)), client_id, name))


def fence(out: Output, above: int) -> int:
    """Begin a new trust log at a revision greater than `above`, and return that."""
    return run_async(_fence(database_address(out), above))


async def _bootstrap(settings: Settings, client_id: str, name: str) -> tuple[str, str]:
    parts = await Parts.open(settings)
    try:
        create = BootstrapClient(parts.clients, parts.secrets, parts.clock, parts.random)
        created = await bootstrap_administrator(create, client_id, name)
    finally:
        await parts.close()
    return created.client_id, created.client_secret


async def _fence(dsn: str, above: int) -> int:
    database = await Database.open(dsn, size=1, application_name="token-service restore-fence")
    try:
        async with database.transaction() as connection:
            now = await connection.fetchval("SELECT clock_timestamp()")
            audit = AuditEvent(now, _ACTOR, "trust.fence", "ok")
            revision = await trust.fence(connection, min_revision=above, audit=audit)
    finally:
        await database.close()
    if revision is None:
        raise CliError("the trust log has no head row: restore the database again")
    return revision
