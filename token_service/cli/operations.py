"""Commands that run the service or work on its stores. Their parts are loaded when they run."""

import os
from typing import Annotated

import typer

from token_service.cli import inputs, variables
from token_service.cli.command import local_command
from token_service.cli.output import Output


def add_to(app: typer.Typer) -> None:
    """Declare the commands."""
    local_command(app, "serve")(_serve)
    local_command(app, "dev")(_dev)
    local_command(app, "migrate")(_migrate)
    local_command(app, "doctor")(_doctor)
    local_command(app, "restore-fence")(_restore_fence)


def add_bootstrap_to(clients: typer.Typer) -> None:
    """Declare the one among them that belongs to the group `token-service client`."""
    local_command(clients, "bootstrap")(_bootstrap)


def _serve(
    _: Output,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help=variables.read_by(
                "Processes that serve; instead of the variable.", variables.WORKERS
            ),
        ),
    ] = None,
) -> None:
    """Serve in production: settings from the environment, until SIGTERM.

    SIGHUP reads files of secrets and certificates again, without a gap.
    """
    from token_service.cli.local.serving import serve

    raise typer.Exit(serve(workers))


def _dev(_: Output) -> None:
    """Start PostgreSQL, Valkey and the service, with demo clients and a demo user."""
    from token_service.cli.local.dev import run

    raise typer.Exit(run(dict(os.environ)))


def _migrate(out: Output) -> None:
    """Bring the database schema up to date."""
    from token_service.cli.local.store import migrate

    done = migrate(out)
    if out.as_json:
        out.json({"applied": done.applied, "newer": done.newer})
    elif done.newer:
        newer = ", ".join(done.newer)
        out.line(f"nothing to do: the schema is newer than this version, by {newer}")
    elif done.applied:
        out.line(f"applied {len(done.applied)}: {', '.join(done.applied)}")
    else:
        out.line("up to date")


def _doctor(out: Output) -> None:
    """Check configuration, stores, keys and TLS files. Exit code 1 when something is broken."""
    from token_service.cli.doctor.command import doctor

    doctor(out)


def _restore_fence(
    out: Output,
    above: Annotated[
        int, typer.Option(min=0, help="A revision that was seen before the restore, if known.")
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """After restoring a backup: begin a new log of revocations. Everyone logs in again.

    The backup does not know what was revoked after it; so nothing issued so far is accepted.
    Client secrets and passwords are those of the backup again.
    """
    from token_service.cli.local.store import fence

    inputs.confirm("Revoke every token and session, because a backup was restored?", yes=yes)
    revision = fence(out, above)
    if out.as_json:
        out.json({"revision": revision})
    else:
        out.line(f"fenced at revision {revision}")


def _bootstrap(
    out: Output,
    client_id: Annotated[str, typer.Option(help="Id of the administrator.")] = "admin",
    name: Annotated[str, typer.Option(help="Name that people recognise it by.")] = "Administrator",
) -> None:
    """Write an administrator to the database, and print its credentials this once.

    Two are needed: what one of them registers, another one approves. Run it again with another
    --client-id. For an id that was never used, a new secret replaces the former one, which ends
    at once. An id in use is refused: `token-service client rotate` replaces its secret.
    """
    from token_service.cli.local.store import bootstrap

    created, secret = bootstrap(out, client_id, name)
    if out.as_json:
        out.json({"client_id": created, "client_secret": secret})
    else:
        out.record([("client_id", created), ("client_secret", secret)])
    out.note("keep the secret: it is not shown again; one that was printed before has ended")
    out.note("two administrators are needed: nobody approves what it registered itself")
