"""A registered application and its secrets, as the stores keep them."""

from dataclasses import dataclass
from datetime import datetime

from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.kinds import ClientState


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A keyed hash of one client secret under the pepper `pepper_id`."""

    secret_hash: bytes
    pepper_id: str
    created_at: datetime
    expires_at: datetime | None
    first_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
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
