"""Clients as this node knows them: a cache that the trust log keeps honest."""

from token_service.domain.clients.client import Client
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.ports import ClientStore
from tokenservice.core.bounded_cache import put_bounded

MAX_CLIENTS = 10_000


class ClientCache:
    """Client records by id, dropped as a whole when the configuration version moves.

    A record read before such a change is never kept after it: each carries the version of its
    snapshot.
    """

    def __init__(self, store: ClientStore) -> None:
        self._store = store
        self._clients: dict[str, tuple[Client, int]] = {}
        self._version = 0

    @property
    def version(self) -> int:
        """The configuration version up to which changes were heard of."""
        return self._version

    def advance(self, version: int) -> None:
        """Configuration changed: forget everything older."""
        if version != self._version:
            self._version = version
            self._clients = {}

    def cached(self, client_id: str) -> Client | None:
        """The record if it is in memory."""
        found = self._clients.get(client_id)
        return found[0] if found else None

    async def find(self, client_id: str, *, reread: bool = False) -> tuple[Client, int] | None:
        """The client and the configuration version of its reading."""
        if not reread and (found := self._clients.get(client_id)):
            return found
        loaded = await self._store.get(client_id)
        if loaded is not None and loaded[1] >= self._version:
            put_bounded(self._clients, client_id, loaded, MAX_CLIENTS)
        return loaded

    async def require(self, client_id: str, *, reread: bool = False) -> tuple[Client, int]:
        """Like find. Raises CLIENT_NOT_FOUND."""
        found = await self.find(client_id, reread=reread)
        if found is None:
            raise TokenServiceError(Reason.CLIENT_NOT_FOUND, "no such client")
        return found
