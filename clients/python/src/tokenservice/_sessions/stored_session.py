"""A session whose tokens are kept in a store and exchanged so that nothing is lost.

::

    session = StoredSession(client, FileTokenStore(path))
    if await session.tokens() is None:
        await session.start(await client.login_with_password(…))
    tokens = await session.exchange()

For a program's own session, which can log in by itself, :class:`tokenservice.TokenSource` does all
this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from tokenservice._errors import SessionOver, TokenServiceError
from tokenservice._messages import names
from tokenservice._reason import Reason
from tokenservice._sessions.exchange_ids import random_exchange_id
from tokenservice._sessions.token_store import PendingExchange, StoredTokens, TokenStoreError, held

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta

    from tokenservice._sessions.client import TokenClient
    from tokenservice._sessions.exchange_ids import ExchangeIds
    from tokenservice._sessions.token_store import TokenStore
    from tokenservice._values import Device, TokenSet

NOT_CONSUMED: Final = frozenset(
    {
        Reason.FIELD_INVALID,
        Reason.SCOPE_WIDENED,
        Reason.SCOPE_NOT_ALLOWED,
        Reason.AUDIENCE_NOT_ALLOWED,
    }
)
"""Refusals of what was asked for: repeating it is pointless, and the token is as it was.

Nothing else lets go of a pending exchange, for an earlier attempt may have succeeded."""


class Wanted(TypedDict):
    """What an exchange is asked for; see :meth:`TokenClient.exchange`."""

    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    device: Device | None
    confirmation: bytes
    timeout: timedelta | None


def wanted_of(
    audiences: Collection[str] = (),
    scopes: Collection[str] = (),
    device: Device | None = None,
    confirmation: bytes = b"",
    timeout: timedelta | None = None,
) -> Wanted:
    """Check the names, and keep it all as one value."""
    return {
        "audiences": tuple(names(audiences)),
        "scopes": tuple(names(scopes)),
        "device": device,
        "confirmation": confirmation,
        "timeout": timeout,
    }


class StoredSession:
    """One session in one store. Its exchanges are one at a time, of all processes that share it.

    Everything raises TokenStoreError when another user does not let go of the store in time.
    """

    def __init__(
        self,
        client: TokenClient,
        store: TokenStore,
        *,
        exchange_ids: ExchangeIds | None = None,
    ) -> None:
        self._client = client
        self._store = store
        self._exchange_ids = exchange_ids or random_exchange_id

    async def start(self, tokens: TokenSet) -> TokenSet:
        """Keep the tokens of a login, instead of what was kept before."""
        async with held(self._store):
            await self._store.save(StoredTokens(tokens))
        return tokens

    async def tokens(self) -> TokenSet | None:
        """Give the tokens of the last login or exchange that was finished; None for no session."""
        stored = await self._store.load()
        return stored.tokens if stored is not None else None

    async def exchange(
        self,
        *,
        audiences: Collection[str] = (),
        scopes: Collection[str] = (),
        device: Device | None = None,
        confirmation: bytes = b"",
        timeout: timedelta | None = None,
    ) -> TokenSet:
        """Exchange the session's token, and first finish an exchange that was left unfinished.

        After Unreachable, call again: the same id is used. After SessionOver the store is
        empty. Raises TokenStoreError where nobody is logged in.
        """
        wanted = wanted_of(audiences, scopes, device, confirmation, timeout)
        async with held(self._store):
            stored = await self._loaded()
            return await exchange_stored(
                self._client, self._store, stored, wanted, self._exchange_ids
            )

    async def reauthenticate(
        self,
        username: str,
        password: str,
        *,
        audiences: Collection[str] = (),
        scopes: Collection[str] = (),
        device: Device | None = None,
        confirmation: bytes = b"",
        timeout: timedelta | None = None,
    ) -> TokenSet:
        """Exchange the session's token together with the user's password, after a step-up
        challenge, and first finish an exchange that was left unfinished.

        After Unreachable, call again: the same id is used. Until that was finished,
        :meth:`exchange` may raise TOKEN_SUPERSEDED, for only the password gets the successor.
        A wrong password (CREDENTIALS_INVALID) leaves the session as it was; otherwise as
        :meth:`exchange`.
        """
        wanted = wanted_of(audiences, scopes, device, confirmation, timeout)
        async with held(self._store):
            stored = await self._finished(await self._loaded(), wanted)
            token = stored.tokens.exchangeable
            pending = stored.pending or _begun(token, wanted, self._exchange_ids)
            await self._store.save(StoredTokens(stored.tokens, pending))
            try:
                successor = await self._client.reauthenticate(
                    token, username, password, exchange_id=pending.exchange_id, **wanted
                )
            except SessionOver:
                await self._store.save(None)
                raise
            await self._store.save(StoredTokens(successor))
            return successor

    async def forget(self) -> None:
        """Empty the store, after a logout."""
        async with held(self._store):
            await self._store.save(None)

    async def _loaded(self) -> StoredTokens:
        stored = await self._store.load()
        if stored is None:
            raise TokenStoreError("there is no session: log in first")
        return stored

    async def _finished(self, stored: StoredTokens, wanted: Wanted) -> StoredTokens:
        """Finish a pending exchange. One that turns out to be a step-up stays pending: the
        password finishes it, with the same id."""
        if stored.pending is None:
            return stored
        wanted = _asked_for(stored.pending, wanted)
        try:
            return StoredTokens(await exchange_stored(self._client, self._store, stored, wanted))
        except TokenServiceError as error:
            if error.reason is not Reason.TOKEN_SUPERSEDED:
                raise
            return stored


async def exchange_stored(
    client: TokenClient,
    store: TokenStore,
    stored: StoredTokens,
    wanted: Wanted,
    exchange_ids: ExchangeIds = random_exchange_id,
) -> TokenSet:
    """Exchange what was loaded from a store that the caller holds, see :class:`StoredSession`."""
    while True:
        tokens, pending = stored.tokens, stored.pending
        if pending is None:
            pending = _begun(tokens.exchangeable, wanted, exchange_ids)
            await store.save(StoredTokens(tokens, pending))
        asked = _asked_for(pending, wanted)
        try:
            successor = await client.exchange(
                tokens.exchangeable, exchange_id=pending.exchange_id, **asked
            )
        except TokenServiceError as error:
            if isinstance(error, SessionOver):
                await store.save(None)
            elif error.reason in NOT_CONSUMED:
                await store.save(StoredTokens(tokens))
            raise
        stored = StoredTokens(successor)
        await store.save(stored)
        if asked == wanted:
            return successor


def _begun(token: str, wanted: Wanted, exchange_ids: ExchangeIds) -> PendingExchange:
    return PendingExchange(exchange_ids(token), wanted["audiences"], wanted["scopes"])


def _asked_for(pending: PendingExchange, wanted: Wanted) -> Wanted:
    """What an exchange that was begun asks for, the rest as wanted now."""
    return {**wanted, "audiences": pending.audiences, "scopes": pending.scopes}
