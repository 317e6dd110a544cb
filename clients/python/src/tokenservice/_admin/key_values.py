"""What KeyService gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from tokenservice.core import KeyState


class KeyPurpose(IntEnum):
    """What a key is for."""

    UNSPECIFIED = 0
    SIGNING = 1
    """Signs access and rolling tokens in JWT form."""
    MINT = 2
    """Authenticates session tokens."""
    PEPPER = 3
    """Keys the hashes under which secrets are stored."""
    OPAQUE = 4
    """Authenticates opaque access tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key of the service, without its secret part.

    It makes tokens from ``activates_at`` on. ``retires_at``, when the last token that it made is
    dead, is None while it makes new ones and for a pepper. ``public_key`` is DER
    SubjectPublicKeyInfo (RFC 5280, section 4.1), b"" for a symmetric key. The service needs its
    configured secret ``secret_key_id`` while the key is PENDING, ACTIVE or RETIRING.
    """

    kid: str
    purpose: KeyPurpose
    algorithm: str
    state: KeyState
    created_at: datetime
    activates_at: datetime
    retires_at: datetime | None
    compromised_at: datetime | None
    public_key: bytes
    secret_key_id: str


@dataclass(frozen=True, slots=True)
class ChangedKey:
    """A key after a change, and the revision of the trust log that holds what it revoked."""

    key: Key
    revision: int
