"""Which addresses are on this machine: only there may secrets travel without TLS."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_UNIX: Final = ("unix:", "unix-abstract:")
_RESOLVERS: Final = ("dns:", "ipv4:", "ipv6:")


def bare_address(target: str, *, secure: bool) -> str:
    """Take ``https://`` or ``http://`` off a target, for those who write addresses as URLs.

    Raises ValueError where the scheme contradicts ``secure``, or the URL has more than a host
    and a port.
    """
    if not target.startswith(("https://", "http://")):
        return target
    parts = urlsplit(target)
    if (parts.scheme == "https") != secure:
        wanted = "tls=Tls(…)" if parts.scheme == "https" else "no tls"
        raise ValueError(f"an address with {parts.scheme}:// needs {wanted}")
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("an address is host:port")
    return parts.netloc


def is_local(target: str) -> bool:
    """Whether calls to a gRPC target stay on this machine, for certain."""
    if target.startswith(_UNIX):
        return True
    for resolver in _RESOLVERS:
        if target.startswith(resolver):
            target = target.removeprefix(resolver).removeprefix("///")
            break
    return all(is_local_host(_host(one)) for one in target.split(","))


def is_local_host(host: str) -> bool:
    """Whether a host name or address is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host(address: str) -> str:
    try:
        return urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return ""
