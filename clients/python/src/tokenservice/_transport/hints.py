"""What to look at when no connection comes about, from what gRPC says about it.

The texts are those of gRPC 1.80 to 1.85 and BoringSSL. They name addresses and reasons, and hold
nothing that was sent. Where none fits there is no hint, and the text itself is still shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Hints = Mapping[str, str]
"""By a part of gRPC's text; the first that fits counts."""

_CLOCK: Final = ", or this machine's clock is wrong"
_OTHER_NAME: Final = (
    "the server's certificate does not name the host that was called: call it by a name that it "
    "has, or give Tls(server_name=…) or authority"
)
_PROXY: Final = (
    "the proxy that the environment names (https_proxy) did not let the connection through: set "
    "no_proxy, or trust_env=False"
)
_NO_TLS: Final = (
    "what answers there does not speak TLS: is it the right port, and is TLS on at the server?"
)
_NO_HTTP2: Final = (
    "what answers there does not speak HTTP/2, which gRPC needs: is it the right port, and does a "
    "proxy in front of the service offer h2 (ALPN)?"
)
_STRANGE_AUTHORITY: Final = (
    "the server's certificate comes from an authority that is not known here: give "
    "Tls(authorities=…)"
)
_UNUSABLE_PEM: Final = (
    "the authorities, certificate or key given to Tls are not usable as PEM, or do not belong "
    "together"
)
_CLIENT_CERTIFICATE: Final = (
    "the server ended the handshake: if it asks for a client certificate, is "
    "Tls(certificate=…, key=…) given, valid, and from an authority that the server knows?"
)
_TLS_ONLY: Final = "the server ended the connection at once: if it speaks TLS only, give tls=Tls(…)"

_NO_PORT: Final = "no port was given, so 443 was tried: give host:port"

_SECURE: Final[Hints] = {
    "HTTP proxy": _PROXY,
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "certificate has expired": "the server's certificate has expired" + _CLOCK,
    "certificate is not yet valid": "the server's certificate is not valid yet" + _CLOCK,
    "Hostname Verification": _OTHER_NAME,
    "not in peer certificate": _OTHER_NAME,
    "CERTIFICATE_VERIFY_FAILED": _STRANGE_AUTHORITY,
    "Failed to create security handshaker": _UNUSABLE_PEM,
    "ALPN": _NO_HTTP2,
    "parsing HTTP/2": _NO_HTTP2,
    "http1": _NO_HTTP2,
    "Socket closed": _CLIENT_CERTIFICATE,
    "Connection reset": _CLIENT_CERTIFICATE,
}

_PLAIN: Final[Hints] = {
    "Socket closed": _TLS_ONLY,
    "Connection reset": _TLS_ONLY,
    "parsing HTTP/2": _NO_HTTP2,
    "http1": _NO_HTTP2,
}

_CONNECTING: Final = ("connections to all backends failing", "failed to connect to all addresses")
"""What the text says when a call was not sent. Afterwards a connection may break for any
reason."""


def hint_of(message: str, *, secure: bool, lacks_port: bool = False) -> str:
    """Say what to look at, or "" where nothing is known; ``secure`` says that TLS was tried, and
    ``lacks_port`` that a target named no port."""
    if not any(text in message for text in _CONNECTING):
        return ""
    hints = _SECURE if secure else _PLAIN
    otherwise = _NO_PORT if lacks_port else ""
    return next((hint for told, hint in hints.items() if told in message), otherwise)
