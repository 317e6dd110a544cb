"""A program's own access token for one audience, kept fresh for its outgoing calls.

::

    source = TokenSource(client, "orders", scopes=["orders.read"])
    headers = {"Authorization": "Bearer " + await source.token()}

    httpx.AsyncClient(auth=BearerAuth(source))
    grpc.composite_channel_credentials(tls, call_credentials(source))
    AccessTokenCredentials(TokenSource(client, "token-service"))    # to call the service itself

The client needs a connection with a :class:`~tokenservice.ClientSecret` or a
certificate, for logging in. :class:`SyncTokenSource` is the same for threads.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, Self

from tokenservice._backoff import Backoff
from tokenservice._errors import SessionOver, TokenServiceError
from tokenservice._messages import names
from tokenservice._outgoing.server_time import ServerTime
from tokenservice._reason import Reason
from tokenservice._sessions.stored_session import NOT_CONSUMED, exchange_stored, wanted_of
from tokenservice._sessions.token_store import MemoryTokenStore, StoredTokens, held
from tokenservice._sync.face import SyncFace, waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tokenservice._sessions.client import TokenClient
    from tokenservice._sessions.sync_client import SyncTokenClient
    from tokenservice._sessions.token_store import TokenStore
    from tokenservice._values import AccessToken, TokenSet

MARGIN: Final = 2.0
"""Seconds before its expiry from which on a token is not handed out: it takes time to arrive."""

REFRESH_TIMEOUT: Final = 60.0
"""Seconds for one refresh with all its waiting; the calls have shorter deadlines of their own."""

REJECTION_SECONDS: Final = 60.0
"""A token that was refused later than so many seconds after another one is the first again."""

FREE_REJECTIONS: Final = 2
"""So many in a row are cured at once: a token is revoked, and then its session."""

_UNFIT: Final = NOT_CONSUMED | {Reason.CLIENT_MISMATCH}
"""Refusals that a stored session of another configuration gets; a new login cures them."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A token; times are Unix seconds of the service's clock."""

    access: AccessToken
    refresh_at: float
    good_until: float


class TokenSource:
    """Gives a token that is good now; see the module.

    It is refreshed by exchange when 70 to 80 % of its time is over, one refresh at a time for all
    callers; while that goes on the old one is given, as long as it is good. A session that is over
    is followed by a new login. With a ``store`` that several processes share, they share the
    session. Tests give time and randomness ([0, 1)).
    """

    def __init__(
        self,
        client: TokenClient,
        audience: str,
        *,
        scopes: Collection[str] = (),
        store: TokenStore | None = None,
        time: ServerTime | None = None,
        random: Callable[[], float] = random.random,
        backoff: Backoff | None = None,
    ) -> None:
        self._client = client
        self._audience = audience
        self._scopes = tuple(names(scopes))
        self._store = store or MemoryTokenStore()
        self._time = time or ServerTime()
        self._random = random
        self._backoff = backoff or Backoff(0.2, 10.0)
        self._held: _Held | None = None
        self._rejected = ""
        self._rejections = 0
        self._rejected_at = -inf
        self._keep_until = -inf
        self._refresh: asyncio.Task[AccessToken | None] | None = None
        self._failure: Exception | None = None
        self._failures = 0
        self._retry_at = 0.0

    def __repr__(self) -> str:
        return f"TokenSource({self._audience!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop a refresh that is under way. The session goes on, for whoever has its store."""
        refresh = self._refresh
        if refresh is not None:
            refresh.cancel()
            await asyncio.wait([refresh])

    def current(self) -> str | None:
        """Give the token if no refresh is due, from any thread and without waiting."""
        held = self._held
        return held.access.token if held and self._time.now() < held.refresh_at else None

    async def token(self) -> str:
        """Give a token that is good now.

        Raises TokenServiceError, the last refresh's, when there is none to be had; a refresh that
        failed is tried again after a pause, and until then fails at once.
        """
        return (await self.access_token()).token

    async def access_token(self) -> AccessToken:
        """Give it with its expiry and scopes."""
        held, now = self._held, self._time.now()
        if held is not None and now < held.refresh_at:
            return held.access
        refresh = self._refreshing()
        if held is not None and now < held.good_until:
            return held.access
        if refresh is not None:
            await asyncio.wait([refresh])  # it goes on when this caller gives up
            obtained = None if refresh.cancelled() else refresh.result()
            if obtained is not None:
                return obtained
        if self._failure is None:
            raise RuntimeError("the token source was closed")
        raise self._failure.with_traceback(None)  # it would grow with each caller

    def rejected(self, token: str) -> None:
        """Take note that a server refused this token before its time: the next caller waits for
        another. One that was replaced meanwhile changes nothing, and where those that replace it
        are refused too, they are replaced less and less often."""
        held, now = self._held, self._time.local()
        if held is None or held.access.token != token or now < self._keep_until:
            return
        again = now - self._rejected_at < REJECTION_SECONDS
        self._rejections = self._rejections + 1 if again else 1
        self._rejected_at = now
        if self._rejections > FREE_REJECTIONS:
            beyond = self._rejections - FREE_REJECTIONS
            self._keep_until = now + self._backoff.pause(beyond, self._random)
        self._rejected = token
        self._held = None

    def _refreshing(self) -> asyncio.Task[AccessToken | None] | None:
        """The refresh under way, a new one, or none shortly after one that failed."""
        if self._refresh is None:
            if self._failure is not None and self._time.local() < self._retry_at:
                return None
            self._refresh = asyncio.get_running_loop().create_task(self._refresh_once())
        return self._refresh

    async def _refresh_once(self) -> AccessToken | None:
        try:
            async with asyncio.timeout(REFRESH_TIMEOUT):
                access = await self._obtain()
        except Exception as error:  # noqa: BLE001 - raised to those who ask for a token
            self._failures += 1
            retry_after = error.retry_after if isinstance(error, TokenServiceError) else None
            pause = self._backoff.pause(self._failures, self._random, retry_after)
            self._retry_at = self._time.local() + pause
            self._failure = error
            return None
        else:
            self._failures, self._failure = 0, None
            return access
        finally:
            self._refresh = None

    async def _obtain(self) -> AccessToken:
        async with held(self._store):
            stored = await self._store.load()
            access = self._renewed_elsewhere(stored)
            if access is None:
                tokens = await self._exchanged(stored) if stored is not None else None
                access = (tokens or await self._logged_in()).access_token(self._audience)
        self._hold(access)
        return access

    def _renewed_elsewhere(self, stored: StoredTokens | None) -> AccessToken | None:
        """What another process, or an earlier run, has put into the store."""
        if stored is None or stored.pending is not None:
            return None
        known = {self._rejected, self._held.access.token if self._held else ""}
        for access in stored.tokens.access_tokens:
            good = self._time.now() < _good_until(access)
            if access.audience == self._audience and access.token not in known and good:
                return access
        return None

    async def _exchanged(self, stored: StoredTokens) -> TokenSet | None:
        """The session's next tokens; None when it is over or does not fit."""
        sent_at = self._time.local()
        try:
            tokens = await exchange_stored(
                self._client, self._store, stored, wanted_of([self._audience], self._scopes)
            )
        except TokenServiceError as error:
            if isinstance(error, SessionOver) or error.reason in _UNFIT:
                return None
            raise
        self._time.learn(tokens, sent_at)
        return tokens

    async def _logged_in(self) -> TokenSet:
        sent_at = self._time.local()
        tokens = await self._client.login_as_client(audiences=[self._audience], scopes=self._scopes)
        self._time.learn(tokens, sent_at)
        await self._store.save(StoredTokens(tokens))
        return tokens

    def _hold(self, access: AccessToken) -> None:
        expires_at, good_until = access.expires_at.timestamp(), _good_until(access)
        left = max(0.0, expires_at - self._time.now())
        refresh_at = expires_at - left * (0.2 + 0.1 * self._random())
        self._held = _Held(access, min(refresh_at, good_until), good_until)


def _good_until(access: AccessToken) -> float:
    return access.expires_at.timestamp() - MARGIN


class SyncTokenSource(SyncFace[TokenSource]):
    """A :class:`TokenSource` for threads, on the loop of a client. ``asynchronous`` is for what
    runs on that loop, such as the credentials of another client that shares it."""

    def __init__(
        self,
        client: SyncTokenClient,
        audience: str,
        *,
        scopes: Collection[str] = (),
        store: TokenStore | None = None,
    ) -> None:
        source = TokenSource(client.asynchronous, audience, scopes=scopes, store=store)
        super().__init__(source, client.loop)

    def __repr__(self) -> str:
        return f"Sync{self.asynchronous!r}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    access_token = waiting(TokenSource.access_token)

    def close(self) -> None:
        """Stop a refresh that is under way. The session goes on, for whoever has its store."""
        if self.loop.usable:
            self.loop.run(self.asynchronous.close())

    def current(self) -> str | None:
        """Give the token if no refresh is due, without waiting."""
        return self.asynchronous.current()

    def token(self) -> str:
        """Give a token that is good now. Raises TokenServiceError when there is none to be had."""
        return self.asynchronous.current() or self.loop.run(self.asynchronous.token())

    def rejected(self, token: str) -> None:
        """Take note that a server refused this token before its time."""
        self.asynchronous.rejected(token)
