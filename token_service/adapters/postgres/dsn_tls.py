"""How connections to PostgreSQL are encrypted, and whether the files for it can be used."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from token_service.adapters.postgres.dsn_parameters import DsnError, checked

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERIFYING = ("verify-ca", "verify-full")
_ENCRYPTING = ("require", *_VERIFYING)
_VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
}
_DEFAULT_ROOT = Path(".postgresql", "root.crt")


@dataclass(frozen=True, slots=True)
class Tls:
    """The parameters that say it, by libpq's names; `sslmode` is always among them."""

    parameters: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, said: Mapping[str, str], env: Mapping[str, str]) -> Self:
        """By an address and libpq's variables. Raises DsnError for files that cannot be used."""
        found = {
            name: checked(name, text)
            for name, variable in _VARIABLES.items()
            if (text := said.get(name) or env.get(variable, ""))
        }
        found.setdefault("sslmode", "prefer")
        _check(found)
        return cls(tuple(found.items()))


def _check(found: Mapping[str, str]) -> None:
    mode = found["sslmode"]
    if found.get("sslnegotiation") == "direct" and mode not in _ENCRYPTING:
        raise DsnError("has sslnegotiation=direct, which needs sslmode=require or more")
    root = found.get("sslrootcert", "")
    if root or mode in _VERIFYING:
        _check_root(mode, root)
    if "sslcert" in found or "sslkey" in found:
        _check_pair(found.get("sslcert", ""), found.get("sslkey", ""))


def _check_root(mode: str, root: str) -> None:
    if root == "system":
        raise DsnError(
            "has sslrootcert=system, which the driver does not know: name the system's file, "
            "such as /etc/ssl/certs/ca-certificates.crt"
        )
    what = "sslrootcert" if root else f"sslmode={mode} and no sslrootcert"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(root or _default_root())
    except ssl.SSLError:
        raise DsnError(f"has {what}, whose file holds no certificate, PEM") from None
    except (OSError, RuntimeError) as error:
        problem = getattr(error, "strerror", None) or "no home directory"
        where = "the file" if root else f"~/{_DEFAULT_ROOT}"
        raise DsnError(f"has {what}: {where} cannot be read: {problem}") from None


def _default_root() -> Path:
    return Path.home() / _DEFAULT_ROOT


def _check_pair(cert: str, key: str) -> None:
    if not (cert and key):
        raise DsnError("needs sslcert and sslkey together")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=_no_password)
    except (ssl.SSLError, ValueError):
        raise DsnError(
            "has sslcert and sslkey that are not a certificate and its unencrypted key, PEM"
        ) from None
    except OSError as error:
        raise DsnError(
            f"has sslcert and sslkey, of which a file cannot be read: {error.strerror}"
        ) from None


def _no_password() -> str:
    raise ValueError("the key is encrypted")
