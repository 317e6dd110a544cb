"""What ClientService is asked for and gives. No repr shows a secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from tokenservice.core import AccessFormat, Platform, TokenScheme

if TYPE_CHECKING:
    from datetime import datetime, timedelta


class ClientState(IntEnum):
    """Where a client is in its life."""

    UNSPECIFIED = 0
    PENDING = 1
    """Registered, not reviewed yet."""
    APPROVED = 2
    """Its credentials were not collected or not used yet."""
    ACTIVE = 3
    REJECTED = 4
    DISABLED = 5


class PairingNetworkRule(IntEnum):
    """What becomes of a pairing whose devices are not on the same network."""

    UNSPECIFIED = 0
    """As WARN."""
    WARN = 1
    """Both sides are told, and the person decides."""
    DENY = 2
    """The scan is refused, also when an address is not known."""


@dataclass(frozen=True, slots=True)
class SessionLifetime:
    """How long sessions on one platform live; None is the service's default.

    A session ends after ``idle`` without activity and after ``absolute`` in any case; a retry of an
    exchange gets the same answer within ``replay_window``.
    """

    platform: Platform
    idle: timedelta | None = None
    absolute: timedelta | None = None
    replay_window: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPolicy:
    """What a client may do, and the tokens that its sessions consist of.

    Nothing is allowed that is not named; None is the service's default, and so are UNSPECIFIED and
    "" for ``signing_algorithm``. Thumbprints have 32 bytes (SHA-256). The comments of
    ``tokenservice/v1/client_policy.proto`` say what each field means and its limits.
    """

    scheme: TokenScheme = TokenScheme.UNSPECIFIED
    platforms: tuple[Platform, ...] = ()
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    protects_audiences: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    access_format: AccessFormat = AccessFormat.UNSPECIFIED
    signing_algorithm: str = ""
    access_lifetime: timedelta | None = None
    rolling_lifetime: timedelta | None = None
    session_lifetimes: tuple[SessionLifetime, ...] = ()
    may_issue_for: tuple[str, ...] = ()
    may_pair_for: tuple[str, ...] = ()
    password_login: bool = False
    certificate_thumbprints: tuple[bytes, ...] = ()
    pam_direct: bool = False
    pairing_max_auth_age: timedelta | None = None
    pairing_network: PairingNetworkRule = PairingNetworkRule.UNSPECIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client as administrators see it.

    ``policy`` is the one asked for while PENDING. ``registered_by`` is "" for an anonymous
    registration, ``reviewed_by`` before the review. ``old_secret_expires_at`` is there while a
    secret before the newest one works. ``longest_token`` is the number of characters that its
    access or rolling tokens can come to, 0 where its algorithm has no key.
    """

    client_id: str
    name: str
    contact: str
    state: ClientState
    policy: ClientPolicy
    registered_by: str
    reviewed_by: str
    review_note: str
    created_at: datetime
    updated_at: datetime
    secret_created_at: datetime | None
    old_secret_expires_at: datetime | None
    longest_token: int


@dataclass(frozen=True, slots=True)
class ChangedClient:
    """A client after a change, and the revision of the trust log that holds what it revoked."""

    client: Client
    revision: int


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A registration. The secret, which is told this once, collects the credentials."""

    client_id: str
    registration_secret: str = field(repr=False)
    state: ClientState


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What an approved client authenticates with."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RotatedSecret:
    """A client's new secret. The one before it works until ``old_secret_expires_at``."""

    client_secret: str = field(repr=False)
    old_secret_expires_at: datetime | None
    client: Client
