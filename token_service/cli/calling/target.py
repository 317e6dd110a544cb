"""Which server a command calls, and as whom."""

import os
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from token_service.cli import variables
from token_service.cli.calling import demo_file
from token_service.cli.calling.demo_file import DemoFile
from token_service.cli.problems import CliError

_STAND_INS = re.compile("[\ud800-\udfff]")
"""What the environment has for bytes that are no text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What options and environment say; empty texts and None where they say nothing."""

    server: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    client_secret_file: Path | None = None
    demo_client: str = ""
    data_dir: Path = demo_file.DEFAULT_DATA_DIR
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    plaintext: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """A calling client; without a secret, its TLS certificate speaks for it (RFC 8705)."""

    client_id: str
    client_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """The server, whether TLS protects the way to it, and the caller (None: anonymous).

    `address` may name several servers of one installation, separated by blanks. `demo` is the
    development server's file when server and caller were taken from it.
    """

    address: str
    tls: bool
    identity: Identity | None
    demo: DemoFile | None = None


def resolve(wishes: Wishes, default_demo_client: str, *, anonymous: bool = False) -> Target:
    """Settle where to call and as whom.

    Credentials that were given are used; else those of the development server's
    `default_demo_client`, and these for the development server alone. `anonymous`: where nobody
    was named, call as nobody. Raises CliError naming what is missing.
    """
    named = bool(wishes.client_id or wishes.demo_client)
    given = bool(wishes.client_id) and not wishes.demo_client
    demo = None if given and wishes.server else demo_file.read(wishes.data_dir)
    address = wishes.server or (demo.grpc if demo else "")
    if not address:
        raise CliError(
            f"no server: set {variables.SERVER} or --server, or start a development server "
            f"(there is no {wishes.data_dir / demo_file.FILE_NAME})"
        )
    identity: Identity | None = None
    _require_text(variables.CLIENT_ID, wishes.client_id)
    _require_text(variables.CLIENT_SECRET, wishes.client_secret)
    if given:
        identity = Identity(wishes.client_id, _secret(wishes))
    elif named or not anonymous:
        identity = _demo_identity(wishes, demo, default_demo_client)
    address, tls = _transport(address, wishes)
    return Target(address, tls, identity, None if given else demo)


def _require_text(name: str, given: str) -> None:
    if _STAND_INS.search(given):
        raise CliError(f"{name} is not text")


def _demo_identity(wishes: Wishes, demo: DemoFile | None, default: str) -> Identity:
    if demo is None and wishes.demo_client:
        raise CliError(
            f"--as names a client of the development server, and there is no "
            f"{wishes.data_dir / demo_file.FILE_NAME}"
        )
    elsewhere = bool(wishes.server) and (demo is None or wishes.server != demo.grpc)
    if demo is None or (elsewhere and not wishes.demo_client):
        same = ", or --as NAME if it is the development server too" if demo else ""
        raise CliError(
            f"no credentials for {wishes.server}: set {variables.CLIENT_ID} and "
            f"{variables.CLIENT_SECRET} (or {variables.CLIENT_SECRET_FILE}){same}"
        )
    client = demo.client(wishes.demo_client or default)
    return Identity(client.client_id, client.client_secret)


def _secret(wishes: Wishes) -> str:
    path = wishes.client_secret_file
    if path is not None:
        try:
            secret = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise CliError(f"cannot read the client secret from {path}: {reason}") from None
    else:
        secret = wishes.client_secret
    if not secret and wishes.certificate_file is None:
        raise CliError(
            f"no secret for the client {wishes.client_id}: set {variables.CLIENT_SECRET} or "
            f"{variables.CLIENT_SECRET_FILE}"
        )
    return secret


def _transport(addresses: str, wishes: Wishes) -> tuple[str, bool]:
    """Return the addresses without schemes, and whether to use TLS: always, off this machine."""
    found = [_way(address, wishes) for address in addresses.split()]
    return " ".join(address for address, _ in found), any(tls for _, tls in found)


def _way(address: str, wishes: Wishes) -> tuple[str, bool]:
    scheme, separator, rest = address.partition("://")
    if separator:
        if scheme not in ("https", "http") or not rest:
            raise CliError(f"not a server address: {address!r}; write host:port")
        address = rest.rstrip("/")
    files = (wishes.ca_file, wishes.certificate_file, wishes.key_file)
    if any(file is not None for file in files) or (separator and scheme == "https"):
        return address, True
    if wishes.plaintext or is_local(address):
        return address, False
    if separator and scheme == "http":
        raise CliError(
            f"{address} is not on this machine: secrets would travel in the clear; "
            "use TLS, or say --plaintext"
        )
    return address, True


def is_local(address: str) -> bool:
    """Whether calls to `address` stay on this machine."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    try:
        host = urlsplit(f"//{address}").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def from_environment(name: str) -> str:
    """Return a variable's value, empty where it is not set."""
    return os.environ.get(name, "").strip()
