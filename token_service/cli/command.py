"""How commands are declared: what they have in common is written once, here.

What calls the service is loaded by the commands that do: a server's supervisor goes without.
"""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer
from typer.core import TyperGroup

from token_service.cli.calling import connection
from token_service.cli.output import Output
from token_service.cli.problems import REFUSED, CliError, refusal_of, show_refusal

if TYPE_CHECKING:
    from token_service.cli.calling.api import Api

P = ParamSpec("P")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

_CONNECTION = tuple(inspect.signature(connection.wishes).parameters)


def group(help_text: str, kind: type[TyperGroup] = TyperGroup) -> typer.Typer:
    """Make a group of commands. Errors never show local variables: they hold secrets."""
    return typer.Typer(
        cls=kind,
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

        def run(*, as_json: Json = False, **values: Any) -> None:  # noqa: ANN401
            from token_service.logging import configure

            configure("error", "console")  # on stderr, as what people are told
            out = Output(as_json=as_json)
            _guarded(out, functools.partial(bound, out, **values))

        app.command(name)(_with_options(function, run, run))
        return function

    return declare


def api_command(
    app: typer.Typer, name: str, *, caller: str | None = None, anonymous: bool = False
) -> Callable[[Callable[Concatenate["Api", P], None]], Callable[Concatenate["Api", P], None]]:
    """Declare a command that gets an Api; the options of the connection are added.

    `caller` is the development server's client to use where none is named (its administrator),
    `anonymous` whether the command then calls as nobody.
    """

    def declare(
        function: Callable[Concatenate["Api", P], None],
    ) -> Callable[Concatenate["Api", P], None]:
        bound: Callable[..., None] = function

        def run(
            *,
            timeout: connection.Timeout = 10.0,
            as_json: Json = False,
            **values: Any,  # noqa: ANN401
        ) -> None:
            from token_service.cli.calling.api import DEMO_ADMIN, Api

            wishes = connection.wishes(**{option: values.pop(option) for option in _CONNECTION})
            out = Output(as_json=as_json)
            who = caller or DEMO_ADMIN
            api = Api(wishes, out, caller=who, anonymous=anonymous, timeout=timeout)
            call = functools.partial(bound, api, **values)
            _guarded(out, functools.partial(_answered, api, call), api.close)

        app.command(name)(_with_options(function, run, connection.wishes, run))
        return function

    return declare


def _guarded(out: Output, work: Callable[[], None], end: Callable[[], None] = lambda: None) -> None:
    """Run a command and turn its failures into messages and exit codes."""
    try:
        work()
    except CliError as error:
        out.note(error.message)
        raise typer.Exit(error.exit_code) from None
    finally:
        end()


def _answered(api: "Api", call: Callable[[], None]) -> None:
    """Run what calls the service, and show its refusals."""
    from tokenservice import TokenServiceError

    try:
        call()
    except TokenServiceError as error:
        refusal = refusal_of(error)
        show_refusal(refusal, as_json=api.out.as_json)
        if refusal.unreached and not api.out.as_json:
            api.show_way()
        raise typer.Exit(REFUSED) from None


def _with_options(
    function: Callable[..., None], run: Callable[..., None], *further: Callable[..., object]
) -> Callable[..., None]:
    """Give `run` the name and the options of `function` (its first parameter is no option), and
    after them those of `further`."""
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    for source in further:
        parameters += inspect.signature(source, eval_str=True).parameters.values()

    @functools.wraps(function)
    def command(**values: Any) -> None:  # noqa: ANN401
        run(**values)

    options = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in parameters
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    return command
