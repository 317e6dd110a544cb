"""What the stored clients' policies amount to, for who examines an installation."""

from dataclasses import dataclass

from token_service.adapters.crypto.access_tokens import AccessTokenFactory
from token_service.adapters.crypto.keyring import Keyring
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.adapters.postgres.pool import Database
from token_service.config import Settings
from token_service.domain.kinds import ClientState
from token_service.usecases.tokens.token_limits import TokenLimits

_PAGE = 500


@dataclass(frozen=True, slots=True)
class PolicyTokens:
    """A client's tokens: `longest` in characters, 0 where no key makes any."""

    client_id: str
    longest: int
    exceeds_cookie: bool


async def policy_tokens(
    settings: Settings, keyring: Keyring, database: Database
) -> list[PolicyTokens]:
    """All clients but the rejected ones. Raises STORE_UNAVAILABLE."""
    algorithm = settings.signing_algorithms[0]
    limits = TokenLimits(AccessTokenFactory(keyring, settings.issuer, algorithm))
    store, found, page_token = ClientStore(database), [], ""
    while True:
        clients, page_token = await store.page(None, _PAGE, page_token)
        found += [
            PolicyTokens(
                client.client_id,
                limits.longest_if_any(client.policy),
                limits.exceeds_cookie(client.policy),
            )
            for client in clients
            if client.state is not ClientState.REJECTED
        ]
        if not page_token:
            return found
