"""The parameters of a PostgreSQL address: which there are, and what each may say."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_KEPT = 32_767  # seconds, and
_MOST_PROBES = 127  # as many probes as Linux takes
_WHOLE = re.compile(r"[0-9]{1,9}")


class DsnError(ValueError):
    """The address cannot be used. The text is a line for people, without any part of it."""


_SAID_BY_OTHERS = frozenset({"host", "port", "user", "password", "dbname", "database"})
_FREE = frozenset(
    {
        "application_name",  # replaced by ours, which tell what a connection is for
        "fallback_application_name",
        "options",
        "passfile",
        "sslcert",
        "sslkey",
        "sslrootcert",
    }
)
_NUMBERS = frozenset(
    {
        "connect_timeout",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "tcp_user_timeout",
    }
)
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_CHOICES: dict[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "sslsni": ("1",),
    "sslcompression": ("0",),
    # The driver binds no channel and encrypts by TLS alone: what does not insist has its way.
    "channel_binding": ("disable", "prefer"),
    "gssencmode": ("disable", "prefer"),
    # The primary is what is looked for in any case.
    "target_session_attrs": ("any", "read-write", "primary"),
    "load_balance_hosts": ("disable",),
}
_WHY = {
    "channel_binding": "the driver cannot bind channels; sslmode=verify-full tells servers apart",
    "gssencmode": "the driver encrypts by TLS alone",
    "target_session_attrs": "the service works on the primary",
    "load_balance_hosts": "the service works on the primary",
    "sslsni": "the driver always names the server",
    "sslcompression": "the driver does not compress",
}
_KNOWN = _SAID_BY_OTHERS | _FREE | _NUMBERS | _CHOICES.keys()


def read(query: str) -> dict[str, str]:
    """The parameters by their names. Raises DsnError."""
    said: dict[str, str] = {}
    for number, entry in enumerate(query.split("&") if query else (), start=1):
        if not entry:
            raise DsnError("has an empty parameter: an & too many")
        name, is_said, text = entry.partition("=")
        name = unescaped(name)
        if name not in _KNOWN or not is_said:
            # Not by its name: that may be what follows an & in a password.
            raise DsnError(
                f"has a parameter (number {number}) that is none of those it may have; what the "
                "server shall set goes into options=-c%20name%3Dvalue, or is set for the role"
            )
        name = "dbname" if name == "database" else name
        if name in said:
            raise DsnError(f"says its {name} twice")
        said[name] = checked(name, unescaped(text))
    return {name: text for name, text in said.items() if text}


def unescaped(text: str) -> str:
    """A text without its escapes, in which a + is a +. Raises DsnError."""
    try:
        plain = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise DsnError("holds escapes that are not UTF-8") from None
    if "\0" in plain:
        raise DsnError("holds a zero byte")
    return plain


def is_ip_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def checked(name: str, text: str) -> str:
    """The text, which the parameter may say. Raises DsnError."""
    choices = _CHOICES.get(name)
    if choices is not None and text not in choices:
        why = f": {_WHY[name]}" if name in _WHY else ""
        raise DsnError(f"has a value of {name} that is none of {', '.join(choices)}{why}")
    if name in _NUMBERS and _WHOLE.fullmatch(text) is None:
        raise DsnError(f"has a value of {name} that is not a whole number")
    return text


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """How a connection on which nothing happens is found to be dead; times in seconds.

    `user_timeout` (milliseconds, 0: the system's) bounds how long what was sent may go
    unacknowledged.
    """

    enabled: bool = True
    idle: int = 30
    interval: int = 10
    count: int = 3
    user_timeout: int = 0

    @classmethod
    def of(cls, said: Mapping[str, str]) -> Self:
        """By the parameters; 0 and what is not said are our defaults. Too much is the most that
        the system takes."""
        defaults = cls()
        return cls(
            enabled=said.get("keepalives", "1") != "0",
            idle=min(int(said.get("keepalives_idle", 0)), _MOST_KEPT) or defaults.idle,
            interval=min(int(said.get("keepalives_interval", 0)), _MOST_KEPT) or defaults.interval,
            count=min(int(said.get("keepalives_count", 0)), _MOST_PROBES) or defaults.count,
            user_timeout=int(said.get("tcp_user_timeout", 0)),
        )

    def apply_to(self, sock: socket.socket) -> None:
        """Have the system find out when the connection leads nowhere any more."""
        if not self.enabled or sock.family == socket.AF_UNIX:
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", self.idle),
            ("TCP_KEEPINTVL", self.interval),
            ("TCP_KEEPCNT", self.count),
            ("TCP_USER_TIMEOUT", self.user_timeout),
        ):
            if hasattr(socket, name) and value:
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
