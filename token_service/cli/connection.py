"""The options that every command has that calls the service."""

from pathlib import Path
from typing import Annotated

import typer

from token_service.cli import demo_file
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

_PANEL = "Connection"

Server = Annotated[
    str,
    typer.Option(envvar=SERVER_VARIABLE, help="host:port of the service.", rich_help_panel=_PANEL),
]
CallerId = Annotated[
    str,
    typer.Option(
        "--client-id",
        envvar=CLIENT_ID_VARIABLE,
        help=f"Client to call as; its secret is in {CLIENT_SECRET_VARIABLE}.",
        rich_help_panel=_PANEL,
    ),
]
SecretFile = Annotated[
    Path | None,
    typer.Option(
        envvar=f"{CLIENT_SECRET_VARIABLE}_FILE",
        help="File that holds the secret.",
        rich_help_panel=_PANEL,
    ),
]
DemoClient = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="NAME",
        help="Call as this client of the development server, such as demo-web.",
        rich_help_panel=_PANEL,
    ),
]
Authorities = Annotated[
    Path | None,
    typer.Option(
        envvar=CA_VARIABLE, help="PEM file of the authorities to trust.", rich_help_panel=_PANEL
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        envvar=CERTIFICATE_VARIABLE,
        help="PEM file of the certificate to present.",
        rich_help_panel=_PANEL,
    ),
]
CertificateKey = Annotated[
    Path | None,
    typer.Option(
        envvar=KEY_VARIABLE, help="PEM file of the certificate's key.", rich_help_panel=_PANEL
    ),
]
Plaintext = Annotated[
    bool,
    typer.Option(
        "--plaintext",
        help="Do without TLS although the server is on another machine.",
        rich_help_panel=_PANEL,
    ),
]
Timeout = Annotated[
    float, typer.Option(min=0.1, help="Seconds that a call may take.", rich_help_panel=_PANEL)
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
        client_secret=from_environment(CLIENT_SECRET_VARIABLE),
        client_secret_file=client_secret_file,
        demo_client=demo_client,
        data_dir=demo_file.data_dir(),
        ca_file=ca,
        certificate_file=cert,
        key_file=cert_key,
        plaintext=plaintext,
    )
