"""Commands that write to the database directly, for who has it in hand."""

from typing import Annotated

import typer

from token_service.cli import inputs
from token_service.cli.deployment import database_address, server_settings, store_environment
from token_service.cli.output import Output
from token_service.cli.runner import run_async
from token_service.config import Settings
from token_service.domain.records import AuditEvent

_ACTOR = "command-line"


def bootstrap_command(
    out: Output,
    client_id: Annotated[str, typer.Option(help="Id of the administrator.")] = "admin",
    name: Annotated[str, typer.Option(help="Name that people recognise it by.")] = "Administrator",
) -> None:
    """Write the first administrator to the database, and print its credentials this once."""
    settings = server_settings(store_environment(out))
    created, secret = run_async(_bootstrap(settings, client_id, name))
    if out.as_json:
        out.json({"client_id": created, "client_secret": secret})
    else:
        out.record([("client_id", created), ("client_secret", secret)])
    out.note("keep the secret: it is not shown again")


def restore_fence_command(
    out: Output,
    above: Annotated[
        int, typer.Option(min=0, help="A revision that was seen before the restore, if known.")
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """After restoring a backup: begin a new log of revocations. Everyone logs in again.

    The backup does not know what was revoked after it; so nothing issued so far is accepted.
    """
    dsn = database_address(out)
    inputs.confirm("Revoke every token and session, because a backup was restored?", yes=yes)
    revision = run_async(_fence(dsn, above))
    if out.as_json:
        out.json({"revision": revision})
    else:
        out.line(f"fenced at revision {revision}")


async def _bootstrap(settings: Settings, client_id: str, name: str) -> tuple[str, str]:
    from token_service.app.parts import Parts
    from token_service.usecases.bootstrap import BootstrapClient, bootstrap_administrator

    parts = await Parts.open(settings)
    try:
        create = BootstrapClient(parts.clients, parts.secrets, parts.clock, parts.random)
        created = await bootstrap_administrator(create, client_id, name)
    finally:
        await parts.close()
    return created.client_id, created.client_secret


async def _fence(dsn: str, above: int) -> int:
    from token_service.adapters.postgres import trust
    from token_service.adapters.postgres.pool import Database

    database = await Database.open(dsn, size=1, application_name="token-service restore-fence")
    try:
        async with database.transaction() as connection:
            now = await connection.fetchval("SELECT clock_timestamp()")
            audit = AuditEvent(now, _ACTOR, "trust.fence", "ok")
            revision = await trust.fence(connection, min_revision=above, audit=audit)
    finally:
        await database.close()
    if revision is None:
        raise LookupError("the log has no head row")
    return revision
