"""What logins, exchanges and revocations give. Times are Unix seconds; no repr shows a secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta

    from tokenservice.core import AccessFormat, Platform, RevocationReason, TokenKind


@dataclass(frozen=True, slots=True)
class Device:
    """The device that a login or an exchange comes from, as the caller sees it.

    ``device_id`` is its stable name, by which it can be revoked; ``name`` is for people.
    """

    device_id: str = ""
    name: str = ""
    user_agent: str = ""
    ip_address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A token that accompanies calls to one audience until ``expires_at``.

    ``exchange_until`` is there in the rolling scheme only, whose token is exchanged as well.
    """

    token: str = field(repr=False)
    audience: str
    scopes: tuple[str, ...]
    format: AccessFormat
    expires_at: datetime
    exchange_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSet:
    """A session's tokens. ``session_token`` is empty in the rolling scheme.

    ``replayed`` says that a retry got the tokens of the exchange that it repeated.
    """

    session_token: str = field(repr=False)
    session_kind: TokenKind
    session_id: str
    idle_expires_at: datetime
    absolute_expires_at: datetime
    access_tokens: tuple[AccessToken, ...]
    replayed: bool = False

    @property
    def exchangeable(self) -> str:
        """The token that is exchanged next: the session's or, in its absence, the rolling one."""
        return self.session_token or (self.access_tokens[0].token if self.access_tokens else "")

    def access_token(self, audience: str) -> AccessToken:
        """Give the token for an audience. Raises LookupError when there is none."""
        for access in self.access_tokens:
            if access.audience == audience:
                return access
        raise LookupError(f"no access token for the audience {audience!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login on one device. ``parent_session_id`` is that of the approver of a pairing."""

    session_id: str
    platform: Platform
    kind: TokenKind
    device: Device
    client_id: str
    subject: str
    created_at: datetime
    last_activity_at: datetime
    idle_expires_at: datetime
    absolute_expires_at: datetime
    auth_time: datetime
    parent_session_id: str
    revoked_at: datetime | None
    revoked_reason: RevocationReason


@dataclass(frozen=True, slots=True)
class Revoked:
    """A revocation that is durable.

    A validation with ``min_revision=revision`` is sure to know of it. ``sessions`` is how many
    ended, where the server counts them; a retry after a lost reply counts those that were left.
    ``session`` is the one that ``revoke_session`` named, as it is now.
    """

    revision: int
    sessions: int
    session: Session | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One token to be checked in a batch; the fields are those of ``TokenClient.validate``."""

    token: str = field(repr=False)
    audience: str
    scopes: Collection[str] = ()
    max_auth_age: timedelta | None = None
    acr: str = ""
    confirmation: bytes = b""
    min_revision: int = 0
