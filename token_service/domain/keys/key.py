"""A key's record, and a change of its state."""

from dataclasses import dataclass, field
from datetime import datetime

from token_service.domain.kinds import KeyPurpose, KeyState

VERIFYING = frozenset({KeyState.PENDING, KeyState.ACTIVE, KeyState.RETIRING})
"""States of the keys that verify, and so need their configured secret. PENDING too: another node
may have heard earlier that the key is ACTIVE."""


@dataclass(frozen=True, slots=True, kw_only=True)
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
class PepperUse:
    """What is still hashed under a pepper that is RETIRING.

    `clients` are the ids of clients with a secret or registration secret under it, the first few;
    `codes_until` is when the last one-time code under it is forgotten, None where there is none;
    `pairings_until` the same of pairings, whose collection can be repeated after they ended.
    """

    kid: str
    clients: tuple[str, ...]
    codes_until: datetime | None
    pairings_until: datetime | None

    def __bool__(self) -> bool:
        return bool(self.clients or self.codes_until or self.pairings_until)


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One step of a key's life, conditional on the state it was decided on."""

    kid: str
    from_state: KeyState
    to_state: KeyState
    retires_at: datetime | None = None
