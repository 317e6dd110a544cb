"""How commands are declared: what they have in common is written once, here."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import grpc
import typer

from token_service.cli import demo_file
from token_service.cli.api import DEMO_ADMIN, Api
from token_service.cli.output import Output, printable
from token_service.cli.problems import REFUSED, CliError, refusal_of, show_refusal
from token_service.cli.target import (
    CA_VARIABLE,
    CERTIFICATE_VARIABLE,
    CLIENT_ID_VARIABLE,
    CLIENT_SECRET_VARIABLE,
    KEY_VARIABLE,
    SERVER_VARIABLE,
    Wishes,
    from_environment,
)

P = ParamSpec("P")

_PANEL = "Connection"

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def group(help_text: str) -> typer.Typer:
    """Make a group of commands. Errors never show local variables: they hold secrets."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def local_command(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Output, P], None]], Callable[Concatenate[Output, P], None]]:
    """Declare a command that gets an Output; `--json` is added."""

    def declare(
        function: Callable[Concatenate[Output, P], None],
    ) -> Callable[Concatenate[Output, P], None]:
        bound: Callable[..., None] = function

        def run(as_json: Json = False, **values: Any) -> None:  # noqa: ANN401
            out = Output(as_json=as_json)
            _guarded(out, functools.partial(bound, out, **values))

        app.command(name)(_merged(function, run))
        return function

    return declare


def api_command(
    app: typer.Typer, name: str, *, caller: str = DEMO_ADMIN, anonymous: bool = False
) -> Callable[[Callable[Concatenate[Api, P], None]], Callable[Concatenate[Api, P], None]]:
    """Declare a command that gets an Api; the options of the connection are added.

    `caller` is the development server's client to use where none is named, `anonymous` whether
    the command then calls as nobody.
    """

    def declare(
        function: Callable[Concatenate[Api, P], None],
    ) -> Callable[Concatenate[Api, P], None]:
        bound: Callable[..., None] = function

        def run(
            *,
            server: Annotated[
                str,
                typer.Option(
                    envvar=SERVER_VARIABLE, help="host:port of the service.", rich_help_panel=_PANEL
                ),
            ] = "",
            caller_id: Annotated[
                str,
                typer.Option(
                    "--client-id",
                    envvar=CLIENT_ID_VARIABLE,
                    help=f"Client to call as; its secret is in {CLIENT_SECRET_VARIABLE}.",
                    rich_help_panel=_PANEL,
                ),
            ] = "",
            client_secret_file: Annotated[
                Path | None,
                typer.Option(
                    envvar=f"{CLIENT_SECRET_VARIABLE}_FILE",
                    help="File that holds the secret.",
                    rich_help_panel=_PANEL,
                ),
            ] = None,
            demo_client: Annotated[
                str,
                typer.Option(
                    "--as",
                    metavar="NAME",
                    help=f"Call as this client of the development server (default: {caller}).",
                    rich_help_panel=_PANEL,
                ),
            ] = "",
            ca: Annotated[
                Path | None,
                typer.Option(
                    envvar=CA_VARIABLE,
                    help="PEM file of the authorities to trust.",
                    rich_help_panel=_PANEL,
                ),
            ] = None,
            cert: Annotated[
                Path | None,
                typer.Option(
                    envvar=CERTIFICATE_VARIABLE,
                    help="PEM file of the certificate to present.",
                    rich_help_panel=_PANEL,
                ),
            ] = None,
            cert_key: Annotated[
                Path | None,
                typer.Option(
                    envvar=KEY_VARIABLE,
                    help="PEM file of the certificate's key.",
                    rich_help_panel=_PANEL,
                ),
            ] = None,
            plaintext: Annotated[
                bool,
                typer.Option(
                    "--plaintext",
                    help="Do without TLS although the server is on another machine.",
                    rich_help_panel=_PANEL,
                ),
            ] = False,
            timeout: Annotated[
                float,
                typer.Option(min=0.1, help="Seconds that a call may take.", rich_help_panel=_PANEL),
            ] = 10.0,
            as_json: Json = False,
            **values: Any,  # noqa: ANN401
        ) -> None:
            wishes = Wishes(
                server=server,
                client_id=caller_id,
                client_secret=from_environment(CLIENT_SECRET_VARIABLE),
                client_secret_file=client_secret_file,
                demo_client=demo_client,
                data_dir=demo_file.data_dir(),
                ca_file=ca,
                certificate_file=cert,
                key_file=cert_key,
                plaintext=plaintext,
            )
            out = Output(as_json=as_json)
            api = Api(wishes, out, caller=caller, anonymous=anonymous, timeout=timeout)
            _guarded(out, functools.partial(bound, api, **values), api.close)

        app.command(name)(_merged(function, run))
        return function

    return declare


def _guarded(out: Output, work: Callable[[], None], end: Callable[[], None] = lambda: None) -> None:
    """Run a command and turn its failures into messages and exit codes."""
    try:
        work()
    except grpc.RpcError as error:
        show_refusal(refusal_of(error), as_json=out.as_json)
        raise typer.Exit(REFUSED) from None
    except CliError as error:
        out.note(printable(error.message, newlines=True))
        raise typer.Exit(error.exit_code) from None
    finally:
        end()


def _merged(function: Callable[..., None], run: Callable[..., None]) -> Callable[..., None]:
    """Give `run` the options of `function` (all but its first parameter) before its own."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    common = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(run, eval_str=True).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]

    @functools.wraps(function)
    def command(**values: Any) -> None:  # noqa: ANN401
        run(**values)

    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    signature = inspect.Signature([*keyword_only, *common])
    command.__signature__ = signature  # type: ignore[attr-defined]
    return command
