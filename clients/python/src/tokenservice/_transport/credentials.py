"""As whom this process calls the token service.

Take one and give it to a :class:`tokenservice.Connection`::

    ClientSecret("shop-gateway", os.environ["CLIENT_SECRET"])   # RFC 7617
    ClientSecretFile("shop-gateway", Path("/run/secrets/shop")) # the same, from a mounted file
    ClientCertificate("shop-gateway")                           # RFC 8705; with Tls(certificate=…)
    AccessTokenCredentials(TokenSource(…, audience="token-service"))   # RFC 6750
    Anonymous()                                                 # where registration is open

None of them shows its secret in its repr.
"""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable
from urllib.parse import quote

from tokenservice._transport.watched_files import WatchedFiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SERVICE_AUDIENCE: Final = "token-service"
"""Audience of access tokens with which the token service itself is called."""

_STAND_INS: Final = re.compile("[\ud800-\udfff]")


def is_text(given: str) -> bool:
    """Whether it can be encoded: what stands in for bytes that are no UTF-8 cannot be."""
    return _STAND_INS.search(given) is None


class CallerCredentials(Protocol):
    """Whatever proves who calls."""

    async def authorization(self) -> str:
        """Give the value of the ``authorization`` header for a call that is made now.

        Raises TokenServiceError when there is none to be had.
        """
        ...


@runtime_checkable
class Renewable(Protocol):
    """Credentials that can be had anew when the service refuses them."""

    def rejected(self, authorization: str) -> None:
        """Take note that the service does not accept this value any more."""
        ...


class TokenSupplier(Protocol):
    """Whoever keeps an access token fresh, as :class:`tokenservice.TokenSource` does."""

    async def token(self) -> str:
        """Give a token that is good now. Raises TokenServiceError."""
        ...

    def rejected(self, token: str) -> None:
        """Take note that the token was refused before its time."""
        ...


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A client's id and secret, sent with each call (RFC 7617)."""

    client_id: str
    client_secret: str = field(repr=False)
    _value: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        if not self.client_id or not self.client_secret:
            raise ValueError("client id and secret are needed")
        if not (is_text(self.client_id) and is_text(self.client_secret)):
            raise ValueError("client id and secret must be Unicode text")
        # Neither may hold a colon or a percent sign as such (RFC 6749, section 2.3.1).
        pair = f"{quote(self.client_id, safe='')}:{quote(self.client_secret, safe='')}"
        value = "Basic " + base64.b64encode(pair.encode()).decode()
        object.__setattr__(self, "_value", value)

    async def authorization(self) -> str:
        """Give the same value each time."""
        return self._value

    def derive_key(self, purpose: str) -> bytes:
        """Give 32 bytes for one purpose: HKDF-SHA256 of the secret (RFC 5869), without salt. All
        processes with this secret derive the same; nobody can tell the secret from them.
        """
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = f"tokenservice client key v1\0{purpose}\0{self.client_id}".encode()
        return HKDF(SHA256(), 32, None, info).derive(self.client_secret.encode())


class ClientSecretFile:
    """A client's id, and its secret in a file that is read again when it changes.

    White space around the secret is left out. A rotation needs no restart: the file is looked at
    once a second while calls are made, and at once when the service refuses the secret. While
    it is missing or empty the former secret is used. Whoever renews it writes a new file and
    renames it: half a secret cannot be told from a whole one. Raises OSError or ValueError when
    there is none at first.
    """

    def __init__(
        self, client_id: str, path: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client_id = client_id
        self._path = path
        self._files = WatchedFiles((path,), clock)
        stamp = self._files.look(at_once=True)
        self._current = self._read()
        if stamp is not None:
            self._files.accept(stamp)

    def __repr__(self) -> str:
        return f"ClientSecretFile({self._client_id!r}, {str(self._path)!r})"

    @property
    def client_id(self) -> str:
        """The client's id."""
        return self._client_id

    @property
    def client_secret(self) -> str:
        """The secret as it was read last."""
        return self._current.client_secret

    def derive_key(self, purpose: str) -> bytes:
        """As :meth:`ClientSecret.derive_key`, from the secret that the file holds now."""
        self._look()
        return self._current.derive_key(purpose)

    async def authorization(self) -> str:
        """Give the value for the secret that the file holds now."""
        self._look()
        return await self._current.authorization()

    def rejected(self, authorization: str) -> None:
        """Look whether the file holds another one."""
        del authorization
        self._look(at_once=True)

    def _look(self, *, at_once: bool = False) -> None:
        stamp = self._files.look(at_once=at_once)
        if stamp is None:
            return
        try:
            self._current = self._read()
        except (OSError, ValueError):
            return  # it is being written; the next look reads it
        self._files.accept(stamp)

    def _read(self) -> ClientSecret:
        # The decoder's exception would hold the whole file, and the encoder's the secret.
        secret = self._path.read_text("utf-8", "surrogateescape").strip()
        if not secret:
            raise ValueError(f"{self._path} holds no secret for the client {self._client_id}")
        if not is_text(secret):
            raise ValueError(f"{self._path} is not text")
        return ClientSecret(self._client_id, secret)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client whom the certificate of its connection speaks for (RFC 8705); no secret is sent.

    The connection needs a :class:`tokenservice.Tls` with that certificate, and the
    client's policy its thumbprint.
    """

    client_id: str

    async def authorization(self) -> str:
        """Give nothing: the client id travels in a header of its own."""
        return ""


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Nobody. For the few calls that a service may allow strangers: registering a client and
    collecting its credentials (the server's setting ``open_registration``)."""

    async def authorization(self) -> str:
        """Give nothing: no header is sent."""
        return ""


class AccessTokenCredentials:
    """An access token of the client's own session for the audience ``token-service`` (RFC 6750).

    The secret then travels once per login and not with each call. The supplier refreshes the
    token before it expires; it needs a connection of its own, with a :class:`ClientSecret`.
    """

    def __init__(self, supplier: TokenSupplier) -> None:
        self._supplier = supplier

    async def authorization(self) -> str:
        """Give a token that is good now. Raises TokenServiceError when there is none to be had."""
        return "Bearer " + await self._supplier.token()

    def rejected(self, authorization: str) -> None:
        """Have the supplier get another one: this was revoked before its time."""
        self._supplier.rejected(authorization.removeprefix("Bearer "))
