"""A session as the stores keep it, and with what decides over its next exchange."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.kinds import Amr, ClientState, Platform, RevocationReason, TokenKind
from token_service.domain.sessions.grants import Grant


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


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
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
