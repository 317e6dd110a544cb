"""Addresses of PostgreSQL (`postgresql://…`), read in one way for all commands.

The grammar is libpq's, where that leaves no doubt. What could be meant in two ways is refused: a
password with a raw `@`, `/`, `?` or `#` would else lend a part of itself to a host's or a
parameter's name. No message repeats any part of the text.
"""

from __future__ import annotations

import getpass
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from token_service.adapters.postgres import dsn_parameters as parameters
from token_service.adapters.postgres.dsn_parameters import DsnError, KeepAlive
from token_service.adapters.postgres.dsn_tls import Tls

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Dsn", "DsnError", "Server", "parse_dsn"]

DEFAULT_PORT = 5432
_SOCKETS = ("/run/postgresql", "/var/run/postgresql", "/tmp")  # noqa: S108 - where libpq looks

_SCHEME = re.compile(r"postgres(?:ql)?://")
_PARTS = re.compile(
    r"(?:(?P<login>[^@/?]*)@)?(?P<hosts>[^@/?]*)(?:/(?P<database>[^/?]*))?(?:\?(?P<query>.*))?"
)
_NETWORK = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(?:%25[\w.]+)?\]|[^:\[\]]*)(?::(?P<port>\d*))?")
_LABELS = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Server:
    """One server: a name, an IP address, or the folder of a Unix socket; and a port."""

    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether it is reached over a Unix socket."""
        return self.host.startswith("/")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dsn:
    """What an address says. `connect_timeout` (seconds) bounds the attempt at each server."""

    servers: tuple[Server, ...]
    user: str
    password: str | None = field(default=None, repr=False)
    database: str
    tls: Tls
    options: str = field(default="", repr=False)
    passfile: str = ""
    connect_timeout: float | None = None
    keep_alive: KeepAlive = field(default_factory=KeepAlive)

    def arguments(self, server: Server) -> dict[str, Any]:
        """What `asyncpg.connect` needs to reach `server`."""
        return {
            "dsn": f"postgresql:///?{urlencode(self.tls.parameters)}",
            "host": server.host,
            "port": server.port,
            "user": self.user,
            "password": self.password,
            "passfile": self.passfile or None,
            "database": self.database,
        }

    def alone(self, server: Server) -> Dsn:
        """The same of `server` alone."""
        return replace(self, servers=(server,))

    def url(self) -> str:
        """The address of the first server, as dbmate understands it. A secret."""
        server = self.servers[0]
        login = quote(self.user, safe="")
        if self.password is not None:
            login += f":{quote(self.password, safe='')}"
        said = {"sslmode": "disable"} if server.is_local else dict(self.tls.parameters)
        where = ""
        if server.is_local:
            said |= {"host": server.host, "port": str(server.port)}
        elif ":" in server.host:  # dbmate loses the brackets of an IPv6 address
            where = f"ipv6:{server.port}"
            said["hostaddr"] = server.host
        else:
            where = str(server)
        for name, text in (("options", self.options), ("passfile", self.passfile)):
            if text:
                said[name] = text
        if self.connect_timeout:
            said["connect_timeout"] = f"{self.connect_timeout:.0f}"
        database = quote(self.database, safe="")
        return f"postgres://{login}@{where}/{database}?{urlencode(said, quote_via=quote)}"


def parse_dsn(text: str, environment: Mapping[str, str] | None = None) -> Dsn:
    """Take an address apart; what it leaves out is libpq's default, from `PG*` of `environment`
    (the process's own). Raises DsnError."""
    env = os.environ if environment is None else environment
    parts = _split(text)
    said = parameters.read(parts["query"] or "")
    user, _, password = (parts["login"] or "").partition(":")
    for name, part in (("user", user), ("password", password), ("dbname", parts["database"])):
        _take(said, name, part or "")
    account = said.get("user") or env.get("PGUSER") or _account()
    return Dsn(
        servers=_servers(parts["hosts"], said, env),
        user=account,
        password=said.get("password") or None,
        database=said.get("dbname") or env.get("PGDATABASE") or account,
        tls=Tls.of(said, env),
        options=said.get("options", ""),
        passfile=said.get("passfile", ""),
        connect_timeout=float(said.get("connect_timeout", 0)) or None,
        keep_alive=KeepAlive.of(said),
    )


def _split(text: str) -> dict[str, str | None]:
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise DsnError("must begin with postgresql://")
    rest = text[scheme.end() :]
    if not rest:
        raise DsnError("names neither a host nor a database")
    if any(not char.isprintable() or char.isspace() for char in rest):
        raise DsnError("holds a space or a control character, which must be percent-encoded")
    if "#" in rest:
        raise DsnError("holds a #, which must be written %23")
    if _BAD_ESCAPE.search(rest):
        raise DsnError("holds a % that begins no escape, which must be written %25")
    if rest.count("@") > 1:
        raise DsnError("holds more than one @: in the user or the password it must be written %40")
    before, at, _ = rest.partition("@")
    if at and ("/" in before or "?" in before):
        raise DsnError(
            "holds an @ behind a / or ?: in the user or the password these must be written "
            "%40, %2F and %3F"
        )
    parts = _PARTS.fullmatch(rest)
    if parts is None:
        raise DsnError("has a second / behind the database's name; in a name it is written %2F")
    return parts.groupdict()


def _take(said: dict[str, str], name: str, text: str) -> None:
    """Add what stands in front of the parameters to them."""
    if not text:
        return
    if said.get(name):
        raise DsnError(f"says its {name} twice")
    said[name] = parameters.unescaped(text)


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        raise DsnError("names no user") from None


def _servers(
    text: str | None, said: Mapping[str, str], env: Mapping[str, str]
) -> tuple[Server, ...]:
    if text and ("host" in said or "port" in said):
        raise DsnError("says its hosts twice: in front of the parameters, and as host or port")
    if text:
        pairs = [_host_and_port(entry) for entry in text.split(",")]
        hosts = [host for host, _ in pairs]
        ports = [port for _, port in pairs]
    else:
        hosts = (said.get("host") or env.get("PGHOST") or "").split(",")
        hosts = [host.strip("[]") for host in hosts]
        ports = (said.get("port") or env.get("PGPORT") or "").split(",")
    if hosts == [""]:
        hosts = [*(folder for folder in _SOCKETS if Path(folder).is_dir()), "localhost"]
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise DsnError(f"has {len(hosts)} hosts and {len(ports)} ports")
    return tuple(
        Server(_host(host), _port(port, env)) for host, port in zip(hosts, ports, strict=True)
    )


def _host_and_port(entry: str) -> tuple[str, str]:
    found = _NETWORK.fullmatch(entry)
    if found is None:
        raise DsnError(
            "has a port that is not a number of one, or an IPv6 address without its brackets"
        )
    return parameters.unescaped(found["host"].strip("[]")), found["port"] or ""


def _host(text: str) -> str:
    if text.startswith("/") or _LABELS.fullmatch(text) or parameters.is_ip_address(text):
        return text
    raise DsnError("has a host that is no name, no IP address and no folder of a socket")


def _port(text: str, env: Mapping[str, str]) -> int:
    text = text or env.get("PGPORT", "").partition(",")[0] or str(DEFAULT_PORT)
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) < 65_536):
        raise DsnError("has a port that is not a number of one")
    return int(text)
