"""What the stores keep, as plain values."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from token_service.domain.grants import Grant
from token_service.domain.kinds import (
    Amr,
    ClientState,
    KeyPurpose,
    KeyState,
    Platform,
    RevocationReason,
    TokenKind,
)
from token_service.domain.policy import ClientPolicy


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the calling gateway reported it. Texts may be empty."""

    device_id: str = ""
    name: str = ""
    user_agent: str = ""
    ip_address: str = ""


UNKNOWN_DEVICE = Device()


def _subject(client_id: str, user_id: UUID | None) -> str:
    return client_id if user_id is None else str(user_id)


class Generation(NamedTuple):
    """What the tokens of one generation of a session say, and what they are made with. An exchange
    makes one, and needs no more of the session; hence a tuple, which costs little to make."""

    session_id: UUID
    lookup_id: UUID
    kind: TokenKind
    client_id: str
    user_id: UUID | None
    generation: int
    mint_kid: str
    acr: int
    amr: Amr
    auth_time: datetime
    rotated_at: datetime
    idle_expires_at: datetime
    absolute_expires_at: datetime
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    device_id: str
    confirmation: bytes

    @property
    def subject(self) -> str:
        """As that of the session."""
        return _subject(self.client_id, self.user_id)


@dataclass(frozen=True, slots=True)
class Session:
    """A session: one row, whatever its number of exchanges.

    `rev` is the trust revision current at issue; `rotated_at` is when the current generation was
    made; `exchange_fingerprint` recognises the exchange that made it (None: no replay), and
    `exchange_hash` does so for nodes of the previous version, or recognises the collection that a
    pairing's session came of.
    """

    session_id: UUID
    lookup_id: UUID
    kind: TokenKind
    platform: Platform
    client_id: str
    user_id: UUID | None
    generation: int
    mint_kid: str
    exchange_hash: bytes | None
    rev: int
    acr: int
    amr: Amr
    auth_time: datetime
    created_at: datetime
    rotated_at: datetime
    last_active_at: datetime
    idle_seconds: int
    idle_expires_at: datetime
    absolute_expires_at: datetime
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    device: Device
    confirmation: bytes = b""
    revoked_at: datetime | None = None
    revoked_reason: RevocationReason | None = None
    parent_session_id: UUID | None = None
    """The session that approved the pairing which this one came of."""
    pairing_id: UUID | None = None
    exchange_fingerprint: bytes | None = None

    @property
    def subject(self) -> str:
        """The user's id, or the client's for a session of the client itself."""
        return _subject(self.client_id, self.user_id)

    @property
    def grant(self) -> Grant:
        """The most that its access tokens are made for."""
        return Grant(self.audiences, self.scopes)

    @property
    def current(self) -> Generation:
        """The generation that the session is at."""
        return Generation(
            session_id=self.session_id,
            lookup_id=self.lookup_id,
            kind=self.kind,
            client_id=self.client_id,
            user_id=self.user_id,
            generation=self.generation,
            mint_kid=self.mint_kid,
            acr=self.acr,
            amr=self.amr,
            auth_time=self.auth_time,
            rotated_at=self.rotated_at,
            idle_expires_at=self.idle_expires_at,
            absolute_expires_at=self.absolute_expires_at,
            audiences=self.audiences,
            scopes=self.scopes,
            roles=self.roles,
            device_id=self.device.device_id,
            confirmation=self.confirmation,
        )


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session with all that decides over its next exchange, read in one snapshot.

    `user_scopes` and the other user parts are None/False where the session has no user.
    `mint_compromised` speaks of the key of the session's current generation.
    """

    session: Session
    client_state: ClientState
    client_valid_rev: int
    policy: ClientPolicy
    global_valid_rev: int
    config_version: int
    head_revision: int
    mint_compromised: bool
    user_gone: bool = False
    user_disabled: bool = False
    user_valid_rev: int = 0
    user_version: int = 0
    user_roles: tuple[str, ...] = ()
    user_scopes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A keyed hash of one client secret under the pepper `pepper_id`."""

    secret_hash: bytes
    pepper_id: str
    created_at: datetime
    expires_at: datetime | None
    first_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Client:
    """A registered application. `registration_spent`: nothing is collected with the registration
    secret any more."""

    client_id: str
    name: str
    contact: str
    state: ClientState
    policy: ClientPolicy
    valid_rev: int
    registered_by: str
    reviewed_by: str
    review_note: str
    created_at: datetime
    updated_at: datetime
    secrets: tuple[ClientSecret, ...] = ()
    registration_hash: bytes | None = None
    registration_pepper: str = ""
    registration_spent: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """A user of our own store. `version` moves with roles and state, `credential_version` with
    the password. `scopes` is what the roles map to when it was read."""

    user_id: UUID
    username: str
    password_hash: str = field(repr=False)
    credential_version: int
    roles: tuple[str, ...]
    scopes: frozenset[str]
    version: int
    disabled_at: datetime | None
    valid_rev: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """A key's record. Signing keys hold a sealed private half; the others are derived from the
    configured secret `secret_key_id` and their own kid."""

    kid: str
    purpose: KeyPurpose
    algorithm: str
    state: KeyState
    secret_key_id: str
    public_key: bytes
    sealed_private: bytes = field(repr=False)
    created_at: datetime
    activates_at: datetime
    retires_at: datetime | None = None
    compromised_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One row of the audit log: who did what on what, with which outcome. Never a secret."""

    at: datetime
    actor: str
    action: str
    outcome: str
    target: str = ""
    subject: str = ""
    request_id: str = ""
    address: str = ""
    details: str = ""
