"""Whether the TLS files can be used, and for how long."""

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from token_service.cli.doctor.checks import Check, fail, ok, warn

SOON = timedelta(days=21)


def check_certificates(name: str, path: Path, now: datetime) -> Check:
    """Check the certificates in a PEM file; the one that ends first counts."""
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        return fail(name, f"{path}: {error.strerror}", "see that the service may read the file")
    except ValueError:
        return fail(name, f"{path}: no PEM certificates", "put certificates in PEM form there")
    first = min(certificates, key=lambda certificate: certificate.not_valid_after_utc)
    left = first.not_valid_after_utc - now
    detail = f"{path} ends {first.not_valid_after_utc:%Y-%m-%d}"
    if left <= timedelta(0):
        return fail(name, detail, "it has expired: replace it")
    if max(certificate.not_valid_before_utc for certificate in certificates) > now:
        return fail(name, f"{path} is not valid yet", "see that this machine's clock is right")
    if left <= SOON:
        return warn(name, detail, f"replace it within {left.days} days")
    return ok(name, detail)


def check_key(name: str, certificate: Path, key: Path) -> Check:
    """Check that the private key is that of the certificate, and nobody else's to read."""
    try:
        public = load_pem_private_key(key.read_bytes(), None).public_key()
        first = x509.load_pem_x509_certificates(certificate.read_bytes())[0].public_key()
        mode = key.stat().st_mode
    except OSError as error:
        return fail(name, f"{key}: {error.strerror}", "see that the service may read the file")
    except (ValueError, TypeError):
        return fail(name, f"{key}: not an unencrypted PEM private key", "put one there")
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public.public_bytes(*form) != first.public_bytes(*form):
        return fail(name, f"{key} is not the key of {certificate}", "put the right pair there")
    if mode & 0o007:
        return warn(name, f"{key} may be read by everybody", f"chmod o-rwx {key}")
    return ok(name, str(key))
