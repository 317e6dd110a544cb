"""Where to call and as whom, from the environment variables that the command line reads too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tokenservice._transport.addresses import bare_address, is_local
from tokenservice._transport.credentials import (
    ClientCertificate,
    ClientSecret,
    ClientSecretFile,
    is_text,
)
from tokenservice._transport.tls import Tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenservice._transport.credentials import CallerCredentials

SERVER: Final = "TOKEN_SERVICE_SERVER"
CLIENT_ID: Final = "TOKEN_SERVICE_CLIENT_ID"
CLIENT_SECRET: Final = "TOKEN_SERVICE_CLIENT_SECRET"  # noqa: S105 - a variable's name
CLIENT_SECRET_FILE: Final = "TOKEN_SERVICE_CLIENT_SECRET_FILE"  # noqa: S105 - as above
CA_FILE: Final = "TOKEN_SERVICE_CA_FILE"
CERTIFICATE_FILE: Final = "TOKEN_SERVICE_CERTIFICATE_FILE"
KEY_FILE: Final = "TOKEN_SERVICE_KEY_FILE"


class Environment(NamedTuple):
    """What the variables say; ``tls`` is None where all servers are on this machine."""

    targets: tuple[str, ...]
    credentials: CallerCredentials
    tls: Tls | None


def read(variables: Mapping[str, str] | None = None) -> Environment:
    """Read them; empty ones count as not set.

    Raises ValueError that names the variable, and never shows a secret.
    """
    given = os.environ if variables is None else variables
    values = {name: value.strip() for name, value in given.items() if value.strip()}
    targets = tuple(_needed(values, SERVER, "host:port of the service").split())
    tls = _tls(values, targets)
    return Environment(targets, _credentials(values, tls), tls)


def _tls(values: Mapping[str, str], targets: tuple[str, ...]) -> Tls | None:
    """Use TLS when it is configured, and for every server on another machine."""
    authorities, certificate, key = (
        Path(values[name]) if name in values else None
        for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE)
    )
    for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE):
        if name in values and not Path(values[name]).is_file():
            raise ValueError(f"{name}: there is no file {values[name]}")
    if (certificate is None) != (key is None):
        raise ValueError(f"{CERTIFICATE_FILE} and {KEY_FILE} are needed together")
    configured = authorities is not None or certificate is not None
    secure = [target for target in targets if target.startswith("https://")]
    here = all(is_local(bare_address(target, secure=target in secure)) for target in targets)
    return None if here and not configured and not secure else Tls(authorities, certificate, key)


def _credentials(values: Mapping[str, str], tls: Tls | None) -> CallerCredentials:
    _needed(values, CLIENT_ID, "id of the client to call as")
    client_id = _text(values, CLIENT_ID)
    if CLIENT_SECRET in values and CLIENT_SECRET_FILE in values:
        raise ValueError(f"{CLIENT_SECRET} and {CLIENT_SECRET_FILE} are both set: give one")
    if CLIENT_SECRET in values:
        return ClientSecret(client_id, _text(values, CLIENT_SECRET))
    if CLIENT_SECRET_FILE in values:
        return _from_file(client_id, values[CLIENT_SECRET_FILE])
    if tls is not None and tls.certificate is not None:
        return ClientCertificate(client_id)
    raise ValueError(
        f"no credential for the client {client_id}: set {CLIENT_SECRET}, {CLIENT_SECRET_FILE}, "
        f"or {CERTIFICATE_FILE} and {KEY_FILE}"
    )


def _from_file(client_id: str, path: str) -> ClientSecretFile:
    try:
        return ClientSecretFile(client_id, Path(path))
    except OSError as error:
        raise ValueError(f"{CLIENT_SECRET_FILE}: cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{CLIENT_SECRET_FILE}: {error}") from None


def _text(values: Mapping[str, str], name: str) -> str:
    if not is_text(values[name]):
        raise ValueError(f"{name} is not text")
    return values[name]


def _needed(values: Mapping[str, str], name: str, what: str) -> str:
    if name not in values:
        raise ValueError(f"{name} is not set: {what}")
    return values[name]
