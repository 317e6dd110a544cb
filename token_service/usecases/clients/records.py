"""Clients as administrators read and change them: always the store's own record."""

from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, Permission
from token_service.domain.ports import ClientStore
from token_service.usecases.clients.cache import ClientCache


class ClientRecords:
    """Reads clients past the cache, and lets this node's cache hear of what it reads."""

    def __init__(self, store: ClientStore, client_cache: ClientCache) -> None:
        self._store = store
        self._client_cache = client_cache

    async def find(self, client_id: str) -> Client | None:
        """The client as it is now."""
        found = await self._store.get(client_id)
        if found is None:
            return None
        client, version = found
        # Other nodes hear of a change within milliseconds; whoever made it need not wait.
        if version > self._client_cache.version:
            self._client_cache.advance(version)
        return client

    async def require(self, client_id: str) -> Client:
        """Like find. Raises CLIENT_NOT_FOUND."""
        client = await self.find(client_id)
        if client is None:
            raise TokenServiceError(Reason.CLIENT_NOT_FOUND, "no such client")
        return client

    async def own_or_administered(self, caller: Caller, client_id: str) -> Client:
        """The caller itself (also for an empty id), or with admin.clients any client.

        Raises PERMISSION_MISSING, whether or not there is such a client, and CLIENT_NOT_FOUND.
        """
        if client_id not in ("", caller.client_id):
            caller.require(Permission.ADMIN_CLIENTS)
        return await self.require(client_id or caller.client_id)


def wrong_state(client: Client) -> TokenServiceError:
    """The step does not go with where the client is in its life."""
    if client.state is ClientState.DISABLED:
        return TokenServiceError(Reason.CLIENT_DISABLED, "the client is disabled")
    return TokenServiceError(Reason.CLIENT_STATE, f"the client is {client.state.name.lower()}")
