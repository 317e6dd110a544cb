"""Work on the database directly, for who has it in hand."""

from token_service.app import upkeep
from token_service.app.database import direct_source
from token_service.cli.local.deployment import (
    database_settings,
    server_settings,
    store_environment,
)
from token_service.cli.local.runner import run_async, told
from token_service.cli.output import Output
from token_service.cli.problems import REFUSED


def migrate(out: Output) -> upkeep.Migrated:
    """Apply the migrations that are missing, and return what became of the database."""
    source = direct_source(database_settings(out))
    with told(exit_code=REFUSED):
        return upkeep.migrate(source)


def bootstrap(out: Output, client_id: str, name: str) -> tuple[str, str]:
    """Write an administrator; return its id and secret."""
    settings = server_settings(store_environment(out))
    created = run_async(upkeep.bootstrap(settings, client_id, name))
    return created.client_id, created.client_secret


def fence(out: Output, above: int) -> int:
    """Begin a new trust log at a revision greater than `above`, and return that."""
    return run_async(upkeep.fence(direct_source(database_settings(out)), above))
