"""`token-service credentials`: secrets in the form in which other programs take them."""

from token_service.cli.calling import demo_file
from token_service.cli.calling.api import DEMO_WEB, Api
from token_service.cli.command import api_command, group, local_command
from token_service.cli.output import Output
from token_service.cli.problems import CliError

app = group("Print credentials for use in other programs.")


@api_command(app, "header", caller=DEMO_WEB)
def header(api: Api) -> None:
    """Print the value of the authorization header to call with, without the header's name."""
    identity = api.target.identity
    if identity is None or not identity.client_secret:
        raise CliError("there is no secret to make a header of")
    value = api.run(api.credentials.authorization())
    if api.out.as_json:
        api.out.json({"authorization": value})
    else:
        api.out.line(value)


@local_command(app, "password")
def password(out: Output) -> None:
    """Print the password of the development server's user."""
    folder = demo_file.data_dir()
    demo = demo_file.read(folder)
    if demo is None:
        raise CliError(f"there is no {folder / demo_file.FILE_NAME}: start a development server")
    if out.as_json:
        out.json({"username": demo.user.username, "password": demo.user.password})
    else:
        out.line(demo.user.password)
