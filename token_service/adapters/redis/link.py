"""The connections to Redis: made, looked after and made anew in the background.

No caller's time goes into finding Sentinels or members of a Cluster, or into a TLS handshake: all
connections are made before the first caller gets one. After a failure a new client is made from
the address as it says then, so that a restart, a failover, members with new addresses and a new
password are all one case.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import TypeVar

import structlog

from token_service.adapters.redis import connection
from token_service.adapters.redis.connection import MAX_CONNECTIONS, STEP, RedisClient, is_refusal

Answer = TypeVar("Answer")
Work = Callable[[RedisClient], Awaitable[Answer]]

PAUSE = 1.0
CHECK_EVERY = 5.0
_OPENING = 5.0  # for Sentinels and members of a Cluster are asked one after the other
_COMPLAIN_EVERY = 60.0

_log = structlog.get_logger(__name__)


class RedisAway(Exception):  # noqa: N818 - an ordinary condition that every caller handles
    """Redis gave no answer in time, refused, or is being left alone after a failure."""


class RedisLink:
    """Keeps `connections` connections of one client open, to each member of a Cluster so many.

    `connect` makes a client; it may take long and is called in a thread. Connections are made
    anew at most every `pause` seconds, and tried every `check_every` seconds, so that those which
    a firewall cut silently are found before a caller meets them. At most `connections` pieces of
    work are done at a time, and others wait for their turn; each may take `patience` seconds.
    """

    def __init__(
        self,
        connect: Callable[[], RedisClient],
        *,
        connections: int = MAX_CONNECTIONS,
        pause: float = PAUSE,
        check_every: float = CHECK_EVERY,
        patience: float = STEP,
    ) -> None:
        self._connect = connect
        self._connections = connections
        self._pause = pause
        self._check_every = check_every
        self._patience = patience
        self._slots = asyncio.Semaphore(connections)
        self._client: RedisClient | None = None
        self._opened, self._broken = asyncio.Event(), asyncio.Event()
        self._down_since: float | None = None
        self._next_try = 0.0
        self._keeper: asyncio.Task[None] | None = None
        self._known: Sequence[tuple[str, int]] = ()
        self._retired: list[tuple[float, RedisClient]] = []
        self._outage: float | None = None
        self._troubled_at = 0.0
        self._complain_at = -_COMPLAIN_EVERY

    @property
    def client(self) -> RedisClient | None:
        """The client that works, if one does."""
        return self._client

    def start(self) -> None:
        """Begin to connect, in the background."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), context=Context())

    async def close(self) -> None:
        """End what is under way, and close all connections."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            await connection.close(client)
        await self._close_retired(math.inf)

    async def opened(self, within: float, since_failure: float) -> bool:
        """Wait until the connections are made, for `within` seconds at the most.

        After a failure nobody waits longer than `since_failure` seconds from that on.
        """
        if self._client is not None:
            return True
        self.start()
        if self._down_since is not None:
            within = min(within, self._down_since + since_failure - time.monotonic())
        if within <= 0:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._opened.wait()
        return self._client is not None

    async def run(self, work: Work[Answer], began: Callable[[], None]) -> Answer:
        """Return the answer of `work`; `began` is called when its turn has come. Raises RedisAway
        for whatever keeps it from one."""
        async with self._slots:
            client = self._client
            if client is None:
                raise RedisAway
            began()
            try:
                async with asyncio.timeout(self._patience):
                    return await work(client)
            except Exception as error:
                # Of any class: the library raises more than its RedisError says, and Redis is not
                # worth a failed call.
                self.judge(client, error)
                raise RedisAway from error

    def judge(self, client: RedisClient, error: Exception) -> None:
        """Draw the consequences of an error that `client` met."""
        if is_refusal(error):
            self._complain(error)
        elif client is self._client:
            self._fail(client, error)

    def trouble(self, error: Exception) -> None:
        """Say once per outage why Redis is of no use."""
        self._troubled_at = time.monotonic()
        if self._outage is None:
            self._outage = self._troubled_at
            _log.warning("redis_away", error=_cause(error))

    def _fail(self, client: RedisClient, error: Exception) -> None:
        self._client = None
        self._down_since = time.monotonic()
        self._opened.clear()
        self._broken.set()
        # Later, for what is under way at other members of a Cluster may end well.
        self._retired.append((self._down_since + self._patience, client))
        self.trouble(error)

    async def _keep(self) -> None:
        while True:
            if self._client is None:
                await self._open()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._check_every):
                    await self._broken.wait()
            if self._client is not None:
                await self._check(self._client)
            await self._close_retired(time.monotonic())

    async def _open(self) -> None:
        while self._client is None:
            await asyncio.sleep(self._next_try - time.monotonic())
            self._next_try = time.monotonic() + self._pause
            try:
                client = await self._made()
            except Exception as error:  # noqa: BLE001 - as in `run`
                self._down_since = self._down_since or time.monotonic()
                self.trouble(error)
            else:
                self._client = client
                self._known = connection.members(client)
                self._down_since = None
                self._broken.clear()
                self._opened.set()

    async def _made(self) -> RedisClient:
        client = await asyncio.to_thread(self._connect)
        try:
            async with asyncio.timeout(_OPENING):
                await connection.warm(client, self._connections, self._known)
        except BaseException:
            await connection.close(client)
            raise
        return client

    async def _check(self, client: RedisClient) -> None:
        """Use all connections once, however long nobody did."""

        async def ping() -> None:
            async with self._slots:
                await connection.ping(client)

        try:
            async with asyncio.timeout(self._patience):
                await asyncio.gather(*(ping() for _ in range(self._connections)))
        except Exception as error:  # noqa: BLE001 - as in `run`
            self.judge(client, error)
        else:
            self._recover()

    def _recover(self) -> None:
        """End an outage when all has been well from one check to the next."""
        now = time.monotonic()
        if self._outage is not None and now - self._troubled_at >= self._check_every:
            _log.info("redis_back", seconds=round(self._troubled_at - self._outage, 1))
            self._outage = None

    async def _close_retired(self, now: float) -> None:
        over = [client for end, client in self._retired if end <= now]
        self._retired = [one for one in self._retired if one[1] not in over]
        for client in over:
            await connection.close(client)

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAIN_EVERY
            _log.warning("redis_refuses_command", error=_cause(error))


def _cause(error: BaseException) -> str:
    """The classes of an error and of its causes: a text may quote keys, arguments or passwords."""
    names: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(names) < 3:
        name = type(cause).__name__
        if name not in names and not isinstance(cause, asyncio.CancelledError):
            names.append(name)
        cause = cause.__cause__ or cause.__context__
    return ", by ".join(names)
