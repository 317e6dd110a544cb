"""The options that every command has that calls the service."""

from pathlib import Path
from typing import Annotated, Any

import typer

from token_service.cli import variables
from token_service.cli.calling import demo_file
from token_service.cli.calling.target import Wishes, from_environment

_PANEL = "Connection"
_SHORTEST = 0.1  # seconds


def _option(help_text: str, *names: str, variable: str = "", **more: Any) -> Any:  # noqa: ANN401
    """An option of the panel, which `variable` sets too."""
    if variable:
        more |= {"envvar": variable, "show_envvar": False}
        help_text = variables.read_by(help_text, variable)
    return typer.Option(*names, help=help_text, rich_help_panel=_PANEL, **more)


def _positive(seconds: float) -> float:
    """Check a time. The option shows no range: it would leave too little room for the others."""
    if seconds < _SHORTEST:
        raise typer.BadParameter(f"must be at least {_SHORTEST}")
    return seconds


Server = Annotated[
    str, _option("host:port of the service, or several with blanks.", variable=variables.SERVER)
]
CallerId = Annotated[
    str, _option("Id of the client to call as.", "--client-id", variable=variables.CLIENT_ID)
]
SecretFile = Annotated[
    Path | None,
    _option(
        variables.read_by(
            "File with its secret. Variables may hold the secret or the path:",
            variables.CLIENT_SECRET,
        ),
        variable=variables.CLIENT_SECRET_FILE,
    ),
]
DemoClient = Annotated[
    str,
    _option(
        "Call as this client of the development server, such as demo-web.", "--as", metavar="NAME"
    ),
]
Authorities = Annotated[
    Path | None, _option("PEM file of the authorities to trust.", variable=variables.CA_FILE)
]
Certificate = Annotated[
    Path | None,
    _option("PEM file of the certificate to present.", variable=variables.CERTIFICATE_FILE),
]
CertificateKey = Annotated[
    Path | None, _option("PEM file of the certificate's key.", variable=variables.KEY_FILE)
]
Plaintext = Annotated[
    bool, _option("Do without TLS although the server is on another machine.", "--plaintext")
]
Timeout = Annotated[
    float, _option("How long a call may take.", metavar="SECONDS", callback=_positive)
]


def wishes(
    *,
    server: Server = "",
    caller_id: CallerId = "",
    client_secret_file: SecretFile = None,
    demo_client: DemoClient = "",
    ca: Authorities = None,
    cert: Certificate = None,
    cert_key: CertificateKey = None,
    plaintext: Plaintext = False,
) -> Wishes:
    """Return what the options and the environment say about where to call, and as whom."""
    return Wishes(
        server=server,
        client_id=caller_id,
        client_secret=from_environment(variables.CLIENT_SECRET),
        client_secret_file=client_secret_file,
        demo_client=demo_client,
        data_dir=demo_file.data_dir(),
        ca_file=ca,
        certificate_file=cert,
        key_file=cert_key,
        plaintext=plaintext,
    )
