"""Calls to the token service with deadlines, safe retries, and plain values instead of messages.

::

    async with Connection("localhost:50051", ClientSecret("demo-web", secret)) as connection:
        client = TokenClient(connection)
        tokens = await client.login_with_password("alice", password, platform=Platform.WEB)
        successor = await client.exchange(tokens.session_token)
        orders = successor.access_token("orders").token
        await client.revoke(token=successor.session_token)

Programs without an event loop use :class:`tokenservice.SyncTokenClient`.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from tokenservice._sessions.exchange_ids import ExchangeIds, usual_exchange_ids
from tokenservice._sessions.session_calls import SessionCalls
from tokenservice._sessions.token_calls import TokenCalls
from tokenservice._transport.calls import Calls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tokenservice._backoff import Backoff
    from tokenservice._transport.connection import Connection


class TokenClient(TokenCalls, SessionCalls):
    """The service's calls, each service's in a base class of its own.

    Every call has a deadline. One that does the same done twice is retried after a pause, on the
    next channel; one that does not is sent once. ``exchange_ids`` says which id an exchange gets,
    by default one that parallel requests on all hosts share; :class:`DerivedExchangeId` says what
    that means for a stolen cookie. Tests give clock (monotonic seconds), randomness ([0, 1)) and
    sleep. The connection belongs to the caller, who closes it.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        exchange_ids: ExchangeIds | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        calls = Calls(connection, backoff=backoff, clock=clock, random=random, sleep=sleep)
        TokenCalls.__init__(self, calls, exchange_ids or usual_exchange_ids(connection.credentials))
        SessionCalls.__init__(self, calls)
