"""Where a session's tokens are kept, so that a process that dies loses nothing.

Before a token is exchanged, the exchange is saved: its id, and what is asked for. It stays until
the successor is saved. Whoever finds an exchange pending finishes it with the same id, and gets
the same successor, however far the lost process had come::

    store = FileTokenStore("/var/lib/report/session.json")
    session = StoredSession(client, store)

A store of your own has three methods, :class:`TokenStore`; one on a database does ``locked`` by a
row lock or an advisory lock.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from tokenservice._values import TokenSet

HOLD_SECONDS: Final = 30.0
"""Longer than any exchange takes; whoever holds a store longer is stuck."""


class TokenStoreError(Exception):
    """What is stored cannot be used. The message holds nothing of it."""


@dataclass(frozen=True, slots=True)
class PendingExchange:
    """An exchange of the stored tokens whose outcome is not known yet."""

    exchange_id: bytes = field(repr=False)
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """A session's latest tokens and, while one is under way, the exchange of them."""

    tokens: TokenSet
    pending: PendingExchange | None = None


class TokenStore(Protocol):
    """Keeps the tokens of one session."""

    def locked(self) -> AbstractAsyncContextManager[None]:
        """Hold the store for one user at a time, of all processes that share it.

        Two that exchange the same token with ids of their own would end the session.
        """
        ...

    async def load(self) -> StoredTokens | None:
        """Give what was saved last; None when there is nothing."""
        ...

    async def save(self, stored: StoredTokens | None) -> None:
        """Replace what is stored, or with None forget it; when this returns, that is durable."""
        ...


@asynccontextmanager
async def held(store: TokenStore, within: float = HOLD_SECONDS) -> AsyncIterator[None]:
    """Hold a store. Raises TokenStoreError when it cannot be had ``within`` so many seconds."""
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(within):
                await stack.enter_async_context(store.locked())
        except TimeoutError:
            raise TokenStoreError("another user does not let go of the store") from None
        yield


class MemoryTokenStore:
    """For sessions that need not outlive the process; exchanges that failed are finished still."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._stored: StoredTokens | None = None

    def __repr__(self) -> str:
        return "MemoryTokenStore()"

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the store."""
        async with self._lock:
            yield

    async def load(self) -> StoredTokens | None:
        """Give what was saved last."""
        return self._stored

    async def save(self, stored: StoredTokens | None) -> None:
        """Replace it."""
        self._stored = stored
