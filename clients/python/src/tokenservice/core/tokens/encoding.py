"""Base64url without padding, in its one canonical form (RFC 7515 section 2)."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from tokenservice.core.errors import MalformedToken

_URLSAFE: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# To the alphabet that binascii reads; whatever is not base64url becomes what it refuses.
_TO_STANDARD: Final = bytes(
    byte if byte in _URLSAFE[:-2] else {0x2D: 0x2B, 0x5F: 0x2F}.get(byte, 0x21)
    for byte in range(256)
)

# By length modulo four: the padding, and the last characters whose unused bits are zero.
_ENDS: Final[tuple[tuple[bytes, str] | None, ...]] = (
    (b"", _URLSAFE.decode("ascii")),
    None,
    (b"==", _URLSAFE[::16].decode("ascii")),
    (b"=", _URLSAFE[::4].decode("ascii")),
)


def encode_base64url(data: bytes) -> str:
    """Encode without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def encoded_length(count: int) -> int:
    """Give the number of characters that ``count`` bytes are encoded in."""
    return (4 * count + 2) // 3


def decode_base64url(text: str) -> bytes:
    """Decode exactly what :func:`encode_base64url` produces.

    Raises MalformedToken for padding, other alphabets, blanks and stray trailing bits. The
    library decoder forgives all of those when it is not strict, and stray bits always; here a
    token has one spelling only.
    """
    end = _ENDS[len(text) & 3]
    if end is None or (text and text[-1] not in end[1]):
        raise MalformedToken("not canonical base64url")
    try:
        raw = text.encode("ascii").translate(_TO_STANDARD)
        return binascii.a2b_base64(raw + end[0], strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        # "from None": the encoder's exception holds the whole text.
        raise MalformedToken("not base64url") from None
