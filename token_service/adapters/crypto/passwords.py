"""Passwords, hashed in a bounded queue: costly by design, so never without limit."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import timedelta
from typing import Any, TypeVar

from token_service.adapters.crypto.argon2id import Argon2Cost, Argon2id
from token_service.adapters.crypto.hashing_process import (
    HASH,
    VERIFY,
    HashingLostError,
    HashingProcess,
)
from token_service.domain.errors import Reason, TokenServiceError

_BUSY_RETRY = timedelta(seconds=1)

Result = TypeVar("Result")


class Argon2Passwords:
    """Implements `PasswordHasher`.

    At most `threads` hashes are computed at once and `queue` more wait; beyond that OVERLOADED is
    raised at once, so that a flood of logins delays nothing else. It is raised too where the
    process that computes them has ended, by lack of memory say.

    Passwords are expected in their canonical form (`domain.login.passwords`) and not truncated.
    """

    def __init__(self, cost: Argon2Cost, *, threads: int, queue: int) -> None:
        """Raises ValueError for numbers that leave no room for work."""
        if threads < 1 or queue < 0:
            raise ValueError("password hashing needs a thread, and a queue that is not negative")
        self._argon2 = Argon2id(cost)
        self._process = HashingProcess(cost, threads)
        self._free = asyncio.Semaphore(threads)
        self._queue = queue
        self._waiting = 0

    @property
    def pid(self) -> int | None:
        """The process that hashes, while there is one."""
        return self._process.pid

    async def hash(self, password: str) -> str:
        """Make a new hash, in the encoded form that names its parameters."""
        hashed: str = await self._run(lambda: self._process.ask(HASH, password))
        return hashed

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is the one.

        None as the hash (unknown user), and one that is not of Argon2id, take the time of a check
        and are False.
        """
        right: bool = await self._run(lambda: self._process.ask(VERIFY, password, password_hash))
        return right is True

    def outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than those of today."""
        return self._argon2.outdated(password_hash)

    async def close(self) -> None:
        """Let the process end, after the work that it has."""
        await self._process.close()

    async def start(self) -> None:
        """Start the process now, that no login waits for it."""
        await self._process.start()

    async def _run(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Have `work` done, once there is room.

        The place is given back when the work is done, not when the caller stops waiting: otherwise
        calls that are begun and cancelled would pile up work without bound.
        """
        if self._free.locked() and self._waiting >= self._queue:
            raise _overloaded("too many logins at once")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        # In a context of its own: it may start the process, for everybody.
        running = asyncio.create_task(work(), context=Context())
        running.add_done_callback(self._give_back)
        try:
            return await asyncio.shield(running)
        except HashingLostError:
            raise _overloaded("no password can be checked just now") from None

    def _give_back(self, running: asyncio.Task[Any]) -> None:
        self._free.release()
        if not running.cancelled():
            running.exception()  # whoever still waits has it


def _overloaded(message: str) -> TokenServiceError:
    return TokenServiceError(Reason.OVERLOADED, message, retry_after=_BUSY_RETRY)
