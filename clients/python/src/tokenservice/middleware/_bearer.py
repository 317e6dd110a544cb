"""Where a request carries its token: in the Authorization header or in a cookie.

RFC 6750 section 2.1 says how a header looks, and section 3.1 that a request which uses more than
one way, or one of them twice, is refused with ``invalid_request``: two readers of it could see
two different callers. A cookie is sent by the browser whoever wrote the page, so what changes
something needs proof that the page was our own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tokenservice.middleware._common import (
    CROSS_ORIGIN,
    INVALID_REQUEST,
    INVALID_TOKEN,
    MISSING_TOKEN,
    Refused,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

HEADERS: Final = frozenset({"authorization", "cookie", "host", "origin", "sec-fetch-site"})
"""The request headers that matter here, in lower case."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, so that a cookie alone may ask for them."""

_CREDENTIALS: Final = re.compile(r"(?P<scheme>[!#$%&'*+.^_`|~0-9A-Za-z-]+)(?: +(?P<rest>.*))?")
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_COOKIE_NAME: Final = re.compile(r"__Host-[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ORIGIN: Final = re.compile(r"https?://[^/?#@\s]+")
_LOOPBACK: Final = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?")


@dataclass(frozen=True, slots=True)
class CookieAuth:
    """Take the token from a cookie when there is none in the Authorization header.

    The name must begin with ``__Host-``: browsers then accept it from this host alone, over
    TLS, for the whole host. For methods other than GET, HEAD and OPTIONS, and for WebSocket
    handshakes, the browser must say that its own origin asks: ``Sec-Fetch-Site: same-origin``,
    or from browsers that do not send that, an ``Origin`` equal to ``https://`` and the Host
    header (``http://`` too on loopback). ``origins`` are others that may ask as well.
    ``check_origin=False`` leaves that check to the application.
    """

    name: str = "__Host-access"
    origins: Collection[str] = frozenset()
    check_origin: bool = True

    def __post_init__(self) -> None:
        if not _COOKIE_NAME.fullmatch(self.name):
            raise ValueError("the cookie's name must begin with __Host-")
        if isinstance(self.origins, str):
            raise TypeError("origins is a collection of origins, not one origin")
        object.__setattr__(self, "origins", frozenset(self.origins))
        if not all(map(_ORIGIN.fullmatch, self.origins)):
            raise ValueError("an origin is a scheme and a host, with nothing behind them")


def presented(headers: Mapping[str, Sequence[str]], method: str, cookie: CookieAuth | None) -> str:
    """Give the token of a request; ``headers`` has the values of those in :data:`HEADERS`.

    Raises Refused: 401 without a token, 400 with more than one or with a malformed header, 403
    for a cookie sent from elsewhere.
    """
    in_header = bearer(headers.get("authorization", ()))
    in_cookie = None if cookie is None else _in_cookies(headers.get("cookie", ()), cookie.name)
    if in_header is not None:
        if in_cookie is not None:
            raise Refused(INVALID_REQUEST)
        return in_header
    if cookie is None or in_cookie is None:
        raise Refused(MISSING_TOKEN)
    if cookie.check_origin and method not in SAFE_METHODS and not _own_page(headers, cookie):
        raise Refused(CROSS_ORIGIN)
    if not _TOKEN.fullmatch(in_cookie):
        raise Refused(INVALID_TOKEN)
    return in_cookie


def bearer(values: Sequence[str]) -> str | None:
    """Read the Authorization header; None when there is none, or one of another scheme.

    Raises Refused (400) for two of them and for a Bearer that is not followed by one token.
    """
    if not values:
        return None
    if len(values) > 1:
        raise Refused(INVALID_REQUEST)
    found = _CREDENTIALS.fullmatch(values[0].strip(" \t"))
    if found is None:
        raise Refused(INVALID_REQUEST)
    if found["scheme"].lower() != "bearer":
        return None
    token = found["rest"] or ""
    if not _TOKEN.fullmatch(token):
        raise Refused(INVALID_REQUEST)
    return token


def without_cookie(header: str, name: str) -> str:
    """Give a Cookie header without the cookie of that name."""
    pairs = (pair.strip(" \t") for pair in header.split(";"))
    return "; ".join(pair for pair in pairs if pair and _split(pair)[0] != name)


def _in_cookies(values: Sequence[str], name: str) -> str | None:
    """Find the cookie's value; one that is empty, as after a logout, is none at all."""
    pairs = (_split(pair) for value in values for pair in value.split(";"))
    found = [value for key, value in pairs if key == name]
    if len(found) > 1:
        raise Refused(INVALID_REQUEST)
    return (found[0] or None) if found else None


def _split(pair: str) -> tuple[str, str]:
    key, _, value = pair.partition("=")
    return key.strip(" \t"), value.strip(" \t")


def _own_page(headers: Mapping[str, Sequence[str]], cookie: CookieAuth) -> bool:
    origins, sites = headers.get("origin", ()), headers.get("sec-fetch-site", ())
    if len(origins) > 1 or len(sites) > 1:
        return False
    if origins and origins[0] in cookie.origins:
        return True
    if sites:
        return sites[0] == "same-origin"
    hosts = headers.get("host", ())
    return len(hosts) == 1 and bool(origins) and origins[0] in _origins_of(hosts[0].lower())


def _origins_of(host: str) -> set[str]:
    # The scheme is not read off the connection: behind a proxy that ends TLS it says http. A
    # browser sends a __Host- cookie over TLS only, or to its own machine.
    own = {f"https://{host}"}
    return own | {f"http://{host}"} if _LOOPBACK.fullmatch(host) else own
