"""Server certificates from files that may be renewed while the server runs."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

_log = structlog.stdlib.get_logger("token_service.rpc")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. With `client_ca` every caller must present a certificate of these authorities."""

    cert: Path
    key: Path
    client_ca: Path | None = None


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that take over renewed files with the next handshake. Raises OSError or
    ssl.SSLError when the files cannot be used now."""
    source = _Source(files)
    return grpc.dynamic_ssl_server_credentials(
        source.read(),
        source.renewed,  # type: ignore[arg-type] # None is a documented answer
        require_client_authentication=files.client_ca is not None,
    )


class _Source:
    """Remembers which version of the files is in use."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._version = self._stamp()

    def read(self) -> grpc.ServerCertificateConfiguration:
        """What the files hold now."""
        files = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.cert, files.key, password="")
        pair = (files.key.read_bytes(), files.cert.read_bytes())
        authorities = files.client_ca.read_bytes() if files.client_ca else None
        return grpc.ssl_server_certificate_configuration([pair], authorities)

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by the library before each handshake; None: go on with what is in use."""
        try:
            version = self._stamp()
            if version == self._version:
                return None
            configuration = self.read()
        except (OSError, ValueError) as error:  # half written: the next handshake looks again
            _log.warning("certificate_not_renewed", error=type(error).__name__)
            return None
        self._version = version
        _log.info("certificate_renewed")
        return configuration

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        files = self._files
        paths = (files.cert, files.key, *([files.client_ca] if files.client_ca else []))
        return tuple((path.stat().st_mtime_ns, path.stat().st_ino) for path in paths)
