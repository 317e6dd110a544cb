"""How a connection recognises the server and shows who calls, in files that may be renewed."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import grpc

from tokenservice._transport.watched_files import WatchedFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenservice._transport.watched_files import Stamp

Result = TypeVar("Result")

_log = logging.getLogger("tokenservice.connection")


@dataclass(frozen=True, slots=True)
class Tls:
    """How to recognise the server, and what to present to it. All PEM; bytes or a file's path.

    Without ``authorities`` those that come with gRPC are trusted. ``certificate`` (the chain) and
    ``key`` are for servers that ask for a client certificate. ``server_name`` is checked instead
    of the address's host, for servers reached by an address that their certificate does not name.

    A connection reads files again when they change, within a second or so of its next call, and
    then goes on over new channels. Calls in flight end where they are. Files that cannot be used,
    such as a certificate without its key, change nothing; a warning says so.
    """

    authorities: bytes | Path | None = None
    certificate: bytes | Path | None = None
    key: bytes | Path | None = field(default=None, repr=False)
    server_name: str = ""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are needed together")

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Read the files. Raises OSError."""
        return self.read().credentials()

    def read(self) -> Pem:
        """Read the files. Raises OSError."""
        parts = (self.authorities, self.key, self.certificate)
        return Pem(*(one.read_bytes() if isinstance(one, Path) else one for one in parts))

    def files(self) -> tuple[Path, ...]:
        """Those of the parts that are files."""
        parts = (self.authorities, self.key, self.certificate)
        return tuple(one for one in parts if isinstance(one, Path))


class Pem(NamedTuple):
    """What the files held. Secret."""

    authorities: bytes | None
    key: bytes | None
    certificate: bytes | None

    def __repr__(self) -> str:
        return "Pem(…)"

    def credentials(self) -> grpc.ChannelCredentials:
        """For gRPC, which does not look at them before the first handshake."""
        return grpc.ssl_channel_credentials(*self)

    def check(self) -> None:
        """Raise ValueError unless a handshake can be made with this; its text is not secret."""
        if self.authorities is not None and not _whole(self.authorities):
            raise ValueError("authorities: not usable as PEM")
        if self.certificate is None or self.key is None:
            return
        # Loading these takes long, and few programs ever come here.
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificate

        chain, key = self.certificate, self.key
        leaf = _checked(lambda: load_pem_x509_certificate(chain), "certificate")
        private = _checked(lambda: load_pem_private_key(key, None), "key")
        if leaf.public_key() != private.public_key():
            raise ValueError("certificate and key do not belong together")


def _whole(authorities: bytes) -> bool:
    """Whether there are certificates, none cut off. What is in them is gRPC's to judge, which
    passes over those of a bundle that it does not understand."""
    begun = authorities.count(b"-----BEGIN CERTIFICATE-----")
    return begun == authorities.count(b"-----END CERTIFICATE-----") > 0


def _checked(load: Callable[[], Result], what: str) -> Result:
    try:
        return load()
    except (ValueError, TypeError):  # TypeError: it is encrypted
        raise ValueError(f"{what}: not usable as PEM") from None


class RenewedTls:
    """What is to be presented now; ``clock`` gives monotonic seconds."""

    def __init__(self, tls: Tls, clock: Callable[[], float] = time.monotonic) -> None:
        self.tls = tls
        self._files = WatchedFiles(tls.files(), clock)
        self._pem: Pem | None = None
        self._unusable: Stamp | None = None
        self._warned: Stamp | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """For another channel. Reads the files the first time; raises OSError then."""
        if self._pem is None:
            stamp = self._files.look(at_once=True)
            self._pem = self.tls.read()
            if stamp is not None:
                self._files.accept(stamp)
        return self._pem.credentials()

    def renewed(self) -> bool:
        """Whether the files hold something else than before, which :meth:`credentials` give from
        now on."""
        stamp = self._files.look() if self._pem is not None else None
        if stamp is None:
            return False
        try:
            pem = self.tls.read()
            pem.check()
        except (OSError, ValueError) as error:
            self._keep(stamp, error)
            return False
        self._files.accept(stamp)
        changed = pem != self._pem
        self._pem = pem
        return changed

    def _keep(self, stamp: Stamp, error: Exception) -> None:
        """Go on with the former. Certificate and key are written one after the other: there is
        something to say only when they stay so."""
        if stamp == self._unusable and stamp != self._warned:
            self._warned = stamp
            why = error.strerror if isinstance(error, OSError) else error
            _log.warning("renewed TLS files cannot be used, the former are kept: %s", why)
        self._unusable = stamp
