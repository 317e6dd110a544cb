"""Argon2id (RFC 9106) in a bounded pool of threads: costly by design, so never without limit."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from argon2 import PasswordHasher as Argon2
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from token_service.domain.errors import Reason, TokenServiceError

MIN_MEMORY_KIB = 19 * 1024
MIN_PASSES = 2
MIN_LANES = 1

_SALT_BYTES = 16
_HASH_BYTES = 32
_PREFIX = "$argon2id$"
_NICENESS = 10
_BUSY_RETRY = timedelta(seconds=1)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What one hash costs: memory in KiB, passes over it (t), lanes (p).

    Raises ValueError below 19 MiB, 2 passes, 1 lane (OWASP's minimum).
    """

    memory_kib: int = MIN_MEMORY_KIB
    passes: int = MIN_PASSES
    lanes: int = MIN_LANES

    def __post_init__(self) -> None:
        if self.memory_kib < MIN_MEMORY_KIB:
            raise ValueError(f"argon2: at least {MIN_MEMORY_KIB} KiB of memory are needed")
        if self.passes < MIN_PASSES:
            raise ValueError(f"argon2: at least {MIN_PASSES} passes are needed")
        if self.lanes < MIN_LANES:
            raise ValueError(f"argon2: at least {MIN_LANES} lane is needed")


class Argon2Passwords:
    """Implements `PasswordHasher`.

    At most `threads` hashes are computed at once and `queue` more wait; beyond that OVERLOADED is
    raised at once, so that a flood of logins delays nothing else.

    Passwords are expected in their canonical form (`domain.login.passwords`) and not truncated.
    """

    def __init__(
        self,
        cost: Argon2Cost,
        *,
        threads: int,
        queue: int,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Compute one hash: that of nobody's password, against which unknown users are checked.

        Raises ValueError for numbers that leave no room for work.
        """
        if threads < 1 or queue < 0:
            raise ValueError("password hashing needs a thread, and a queue that is not negative")
        self._argon2 = Argon2(
            time_cost=cost.passes,
            memory_cost=cost.memory_kib,
            parallelism=cost.lanes,
            hash_len=_HASH_BYTES,
            salt_len=_SALT_BYTES,
            type=Type.ID,
        )
        self._random_bytes = random_bytes
        self._nobody = self._hash(random_bytes(_HASH_BYTES).hex())
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix="argon2", initializer=_step_back
        )
        self._free = asyncio.Semaphore(threads)
        self._queue = queue
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Make a new hash, in the encoded form that names its parameters."""
        return await self._run(lambda: self._hash(password))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is the one.

        None as the hash (unknown user), and one that is not of Argon2id, take the time of a check
        and are False.
        """
        return await self._run(lambda: self._verify(password, password_hash))

    def outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than those of today."""
        try:
            return self._argon2.check_needs_rehash(password_hash)
        except InvalidHashError:
            return True

    def close(self) -> None:
        """Let the threads end, after the work that they have."""
        self._pool.shutdown(wait=False)

    def _hash(self, password: str) -> str:
        return self._argon2.hash(password, salt=self._random_bytes(_SALT_BYTES))

    def _verify(self, password: str, password_hash: str | None) -> bool:
        if password_hash is not None and password_hash.startswith(_PREFIX):
            return self._matches(password, password_hash)
        self._matches(password, self._nobody)
        return False

    def _matches(self, password: str, password_hash: str) -> bool:
        try:
            return self._argon2.verify(password_hash, password)
        except VerificationError:
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        """Do `work` on a thread of the pool, once one is free.

        The place is given back when the thread is, not when the caller stops waiting: otherwise
        calls that are begun and cancelled would pile up work without bound.
        """
        if self._free.locked() and self._waiting >= self._queue:
            raise TokenServiceError(
                Reason.OVERLOADED, "too many logins at once", retry_after=_BUSY_RETRY
            )
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, work)
        except BaseException:
            self._free.release()
            raise
        running.add_done_callback(self._give_back)
        return await asyncio.shield(running)

    def _give_back(self, running: "asyncio.Future[Result]") -> None:
        self._free.release()
        if not running.cancelled():
            running.exception()  # whoever still waits has it


def _step_back() -> None:
    """Let others go first: their turns are short, a hash is not.

    Yet not so far back that nobody can log in to a machine that is busy with other things. At
    the lowest priority a hash then takes seconds; and a thread that waits for its turn may hold
    the interpreter's lock, which makes everybody wait.

    On Linux a niceness is each thread's own; elsewhere it would be the whole process's, and
    nothing is changed. Raises nothing: a priority may always be lowered, and is never raised.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        own = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, max(own, _NICENESS))
