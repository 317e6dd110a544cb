"""What a target says of where it leads: to this machine or another one, and under which name."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_UNIX: Final = ("unix:", "unix-abstract:")
_LISTS: Final = ("ipv4:", "ipv6:")
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


def has_name(target: str) -> bool:
    """Whether a target has to be looked up before it can be called."""
    if target.startswith((*_UNIX, *_LISTS)):
        return False
    host = _host(target.removeprefix("dns:").removeprefix("///"))
    try:
        ip_address(host)
    except ValueError:
        return True
    return False


def lacks_port(target: str) -> bool:
    """Whether a target names a host without a port; gRPC takes 443 then."""
    if target.startswith(_UNIX):
        return False
    for resolver in _RESOLVERS:
        target = target.removeprefix(resolver)
    return any(_port(one) is None for one in target.removeprefix("///").split(","))


def default_authority(target: str) -> str:
    """What calls name as their host (``:authority``, RFC 9113, section 8.3.1) where nobody said it.

    "" leaves it to gRPC, which takes the host and port of the target. Of a Unix socket or a list
    it would make a name that proxies refuse, and that no certificate has.
    """
    if target.startswith(_UNIX):
        return "localhost"
    for resolver in _LISTS:
        if target.startswith(resolver) and "," in target:
            return target.removeprefix(resolver).removeprefix("///").partition(",")[0]
    return ""


def is_local_host(host: str) -> bool:
    """Whether a host name or address is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _port(address: str) -> int | None:
    try:
        return urlsplit(f"//{address}").port
    except ValueError:
        return None


def _host(address: str) -> str:
    try:
        return urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return ""
