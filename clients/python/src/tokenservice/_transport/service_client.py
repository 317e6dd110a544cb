"""What the clients of one service have in common."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from typing import TYPE_CHECKING

from tokenservice._transport.calls import Calls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tokenservice._backoff import Backoff
    from tokenservice._transport.connection import Connection


def random_request_id() -> str:
    """Draw the id of a request."""
    return secrets.token_urlsafe(16)


class ServiceClient:
    """Makes calls over a connection, which belongs to the caller.

    Every call has a deadline, ``timeout`` for all attempts together, and raises
    TokenServiceError. One that does the same done twice is retried after a pause, on the next
    channel; one that does not is sent once. Tests give clock (monotonic seconds), randomness
    ([0, 1)) and sleep.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connection = connection
        self._calls = Calls(connection, backoff=backoff, clock=clock, random=random, sleep=sleep)
