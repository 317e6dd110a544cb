"""Certificates for real handshakes on this machine, made on the spot."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, as PEM."""

    name: x509.Name
    private: ec.EllipticCurvePrivateKey
    certificate: bytes
    key: bytes
    ends: datetime

    @property
    def thumbprint(self) -> str:
        """SHA-256 of the DER, in hexadecimal digits."""
        loaded = x509.load_pem_x509_certificate(self.certificate)
        return loaded.fingerprint(hashes.SHA256()).hex()


def issue(
    name: str,
    authority: Issued | None = None,
    *,
    dns: str = "",
    until: datetime | None = None,
) -> Issued:
    """Make one for 127.0.0.1, or for `dns`; without an authority it is one."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    until = until or datetime.now(UTC) + HOUR
    host = x509.DNSName(dns) if dns else x509.IPAddress(IPv4Address("127.0.0.1"))
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.name if authority else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - 24 * HOUR)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .sign(authority.private if authority else private, hashes.SHA256())
    )
    key = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate = built.public_bytes(Encoding.PEM)
    return Issued(subject, private, certificate, key, built.not_valid_after_utc)


def server_files(authority: Issued, folder: Path, *, mutual: bool) -> dict[str, Path]:
    """Settings of a server with a certificate, which asks for one of clients if it is `mutual`."""
    server = issue("server", authority)
    files = {"tls_cert": server.certificate, "tls_key": server.key}
    if mutual:
        files["tls_client_ca"] = authority.certificate
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in files}


def shown(name: str = "client") -> tuple[str, bytes]:
    """A client's certificate as PEM text, and its thumbprint."""
    issued = issue(name)
    return issued.certificate.decode(), bytes.fromhex(issued.thumbprint)
