"""What a setting's text means, and whether it can work. Messages never repeat the text."""

import os
import re
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "": timedelta(seconds=1),
}
LONGEST = timedelta(days=36_500)
"""For ever, as some say; what is added to a date stays a date."""

_MAX_PORT = 65_535
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|m|h|d|)")
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+|\*):(\d{1,5})")
_NUMBERS = re.compile(r"[\d.]+")
_REDIS = re.compile(r"(rediss?(\+cluster|\+sentinel)?|unix)://.+")


class UnusableError(ValueError):
    """The setting `name` cannot be used."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@contextmanager
def about(name: str) -> Iterator[None]:
    """Attribute what is raised inside to the setting `name`."""
    try:
        yield
    except UnusableError:
        raise
    except ValueError as error:
        raise UnusableError(name, str(error)) from None


def parse_duration(value: object) -> object:
    """`90`, `1.5s`, `500ms`, `5m`, `12h`, `30d`. Raises ValueError."""
    if not isinstance(value, str | int | float):
        return value
    match = _DURATION.fullmatch(str(value).strip().lower())
    if match is None:
        raise ValueError("must be a number of seconds, or one with a unit: ms, s, m, h, d")
    seconds = float(match[1]) * _UNITS[match[2]].total_seconds()
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"must be at most {LONGEST.days} days")
    return timedelta(seconds=seconds)


def split_names(value: object) -> object:
    """`a, b` → (`a`, `b`), each once."""
    if not isinstance(value, str):
        return value
    names = (name.strip() for name in value.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def check_listen_address(value: object) -> object:
    """A `host:port` or `unix:/path`. Raises ValueError."""
    if re.fullmatch("unix:/.+", str(value)):
        return value
    try:
        return check_host_port(value)
    except ValueError as error:
        raise ValueError(f"{error}, or unix:/path") from None


def check_host_port(value: object) -> object:
    """A `host:port`. Raises ValueError."""
    match = _LISTEN.fullmatch(str(value))
    if match is None or int(match[2]) > _MAX_PORT or not _is_host(match[1]):
        raise ValueError("must be host:port, with an IPv6 address in brackets")
    host = "[::]" if match[1] == "*" else match[1]
    return f"{host}:{match[2]}"


def _is_host(host: str) -> bool:
    """Whether a text that looks like an address is one; a name may be any."""
    if not host.startswith("[") and _NUMBERS.fullmatch(host) is None:
        return True
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_private_address(listen: str) -> bool:
    """Whether only this machine can reach the address. A name other than `localhost` may mean
    anything, so it counts as public."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_secret_keys(text: str) -> None:
    """Raises ValueError, naming the entry and never its secret."""
    from token_service.adapters.crypto.configured_secrets import SecretKeys

    try:
        SecretKeys.parse(text)
    except ValueError as error:
        raise ValueError(str(error).rpartition("SECRET_KEYS: ")[2]) from None


def check_postgres_dsn(text: str, *, pooled: bool = False) -> None:
    """Raises ValueError for what is no usable PostgreSQL address."""
    from token_service.adapters.postgres.dsn import parse_dsn

    if parse_dsn(text).options and pooled:
        raise ValueError("has options, which no pooler lets through: set them for the role")


def check_redis_url(text: str) -> None:
    """Raises ValueError for what no client can be made for."""
    from token_service.adapters.redis.connection import connect

    if _REDIS.fullmatch(text) is None:
        raise ValueError("is not a Redis address")
    connect(text)


def check_tls_files(cert: Path, key: Path, client_ca: Path | None) -> None:
    """Raises UnusableError when a file cannot be read, is not what it should be, or when the key is
    not the certificate's."""
    for name, path in (("tls_cert", cert), ("tls_key", key), ("tls_client_ca", client_ca)):
        if path is not None:
            with about(name):
                _readable(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (ssl.SSLError, ValueError):
        raise UnusableError(
            "tls_key",
            f"{cert} and {key} are not a certificate and its unencrypted key, in PEM",
        ) from None
    try:
        if client_ca is not None:
            context.load_verify_locations(client_ca)
    except ssl.SSLError:
        raise UnusableError("tls_client_ca", "holds no certificate, PEM") from None


def _readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None


def _no_password() -> str:
    """Instead of asking on the terminal for the password of an encrypted key."""
    raise ValueError("the key is encrypted")


def processors(membership: Path = _MEMBERSHIP, cgroups: Path = _CGROUPS) -> int:
    """How many processors this process may use, by its affinity and by the quota of its control
    group (cgroup v2, `cpu.max`) where there is one; at least one."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return max(1, min(len(os.sched_getaffinity(0)), _quota(membership, cgroups)))


def _quota(membership: Path, cgroups: Path) -> int:
    """The processors that the group's quota amounts to, rounded down."""
    try:
        group = re.search(r"^0::/(.*)$", membership.read_text(), re.MULTILINE)
        allowed, period = (cgroups / (group[1] if group else "") / "cpu.max").read_text().split()
        return sys.maxsize if allowed == "max" else int(allowed) // int(period)
    except (OSError, ValueError):
        return sys.maxsize
