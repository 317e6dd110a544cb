"""The `token-service` program."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from token_service.cli import operations
from token_service.cli.command import group
from token_service.cli.output import Output

GROUPS: Mapping[str, str] = {
    "client": "clients",
    "user": "users",
    "keys": "keys",
    "session": "sessions",
    "token": "tokens",
    "code": "codes",
    "pair": "pairing",
    "trust": "trust",
    "credentials": "credentials",
}
"""Groups of commands and the modules of `commands` that hold them, as `app`."""


HELP = "Issue, exchange, validate and revoke tokens."


class Program(TyperGroup):
    """Loads a group when one of its commands is called: a server needs none of them, and each of
    them needs gRPC."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - typer does not export its type
        """The names of all commands, in the order in which help shows them."""
        return list(dict.fromkeys((*super().list_commands(ctx), *GROUPS)))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        """The command, or None. All are loaded for a misspelt name, which is compared with them."""
        if super().get_command(ctx, cmd_name) is None:
            for name in [cmd_name] if cmd_name in GROUPS else GROUPS:
                self._load(name)
        return super().get_command(ctx, cmd_name)

    def _load(self, name: str) -> None:
        loaded = get_group(import_module(f"token_service.cli.commands.{GROUPS[name]}").app)
        loaded.name = name
        self.add_command(loaded)


app = group(HELP, Program)


def _show_version(wanted: bool) -> None:
    if wanted:
        Output().line(f"token-service {version('token-service')}")
        raise typer.Exit


@app.callback(help=HELP)
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """What goes before any command."""


operations.add_to(app)
