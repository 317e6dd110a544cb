"""Base64url without padding, in its one canonical form (RFC 7515 section 2)."""

from __future__ import annotations

import base64
import binascii

from tokenservice.core.errors import MalformedToken


def encode_base64url(data: bytes) -> str:
    """Encode without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Decode exactly what :func:`encode_base64url` produces.

    Raises MalformedToken for padding, other alphabets, blanks and stray trailing bits. The
    library decoder forgives all of those; encoding again and comparing forgives nothing, so a
    token has one spelling only.
    """
    try:
        raw = text.encode("ascii")
        data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except (UnicodeEncodeError, binascii.Error):
        # "from None": the encoder's exception holds the whole text.
        raise MalformedToken("not base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=") != raw:
        raise MalformedToken("not canonical base64url")
    return data
