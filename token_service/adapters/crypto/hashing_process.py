"""Password hashing in a process of its own, so that no login holds up the server's event loop.

In a thread of the server it would: a hash runs without the interpreter's lock, but ends by taking
it, at a low priority; while its thread waits for a processor, the loop waits for the lock.

Questions and answers are lines of JSON, over pipes: `[number, work, password, hash]`, and
`[number, answer, error]`. They hold passwords and go nowhere else.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Self

import structlog
from argon2.exceptions import HashingError

from token_service.adapters.crypto.argon2id import Argon2Cost, Argon2id
from token_service.adapters.system import command_of

HASH, VERIFY = "hash", "verify"

PATIENCE = 30.0
"""After so many seconds without an answer the process hangs, and another one takes its place: a
hash takes a small part of that, also on a busy machine."""

CLOSING_SECONDS = 5.0
"""How long it may take to end."""

_NICENESS = 10
_MODULE = "token_service.adapters.crypto.hashing_process"

_log = structlog.get_logger(__name__)


class HashingLostError(Exception):
    """The process gave no answer: it has ended, or has no memory."""


@dataclass(frozen=True, slots=True)
class _Child:
    process: asyncio.subprocess.Process
    questions: asyncio.StreamWriter
    answers: asyncio.StreamReader

    @classmethod
    async def start(cls, arguments: Sequence[str]) -> Self:
        """Raises OSError."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command_of(_MODULE),
            *arguments,
            stdin=pipe,
            stdout=pipe,
            env={name: value for name, value in os.environ.items() if not _is_setting(name)},
            start_new_session=True,
        )
        if process.stdin is None or process.stdout is None:
            raise OSError("it has no pipes")
        return cls(process, process.stdin, process.stdout)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()


class HashingProcess:
    """The server's end. The process starts with the first question, and again where it ended.

    At most `threads` questions are worked on at a time; whoever asks sees to it that few wait.
    """

    def __init__(self, cost: Argon2Cost, threads: int, *, patience: float = PATIENCE) -> None:
        """`patience` (seconds) is for each answer."""
        self._patience = patience
        numbers = (cost.memory_kib, cost.passes, cost.lanes, threads)
        self._arguments = tuple(map(str, numbers))
        self._starting = asyncio.Lock()
        self._child: _Child | None = None
        self._reading: asyncio.Task[None] | None = None
        self._numbers = count()
        self._asked: dict[int, asyncio.Future[Any]] = {}

    @property
    def pid(self) -> int | None:
        """The process that is there."""
        return self._child.process.pid if self._child else None

    async def start(self) -> None:
        """Start it now; what keeps it from starting is told to who asks."""
        with suppress(HashingLostError):
            await self._running()

    async def ask(self, work: str, password: str, password_hash: str | None = None) -> Any:  # noqa: ANN401 - by work
        """The hash, or whether the password matches. Raises HashingLostError."""
        child = await self._running()
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        line = json.dumps([number, work, password, password_hash]).encode() + b"\n"
        try:
            child.questions.write(line)
            async with asyncio.timeout(self._patience):
                return await answer
        except TimeoutError:
            _log.warning("hashing_process_hangs", seconds=self._patience)
            child.kill()
            raise HashingLostError from None
        finally:
            self._asked.pop(number, None)

    async def close(self) -> None:
        """Let it end, after the work that it has; what does not end is killed."""
        async with self._starting:
            child, self._child = self._child, None
            if child is None or self._reading is None:
                return
            child.questions.close()
            ended, _ = await asyncio.wait([self._reading], timeout=CLOSING_SECONDS)
            if not ended:
                child.kill()
            await self._reading

    async def _running(self) -> "_Child":
        async with self._starting:
            if self._child is None:
                try:
                    self._child = await _Child.start(self._arguments)
                except OSError as error:
                    _log.warning("hashing_process_not_started", error=error.strerror)
                    raise HashingLostError from None
                self._reading = asyncio.create_task(self._read(self._child))
            return self._child

    async def _read(self, child: "_Child") -> None:
        """Hand on its answers, until it ends."""
        async for line in child.answers:
            number, answer, error = json.loads(line)
            asked = self._asked.get(number)
            if error:
                _log.warning("hashing_failed", error=error)
            if asked is None or asked.done():
                continue
            if error:
                asked.set_exception(HashingLostError())
            else:
                asked.set_result(answer)
        how = await child.process.wait()
        if self._child is child:  # nobody asked it to end
            self._child = None
            _log.warning("hashing_process_ended", exit_code=how)
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(HashingLostError())


def main(arguments: list[str]) -> None:
    """The process itself: it answers until its questions end, and that is when the server does."""
    memory_kib, passes, lanes, threads = map(int, arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A signal for everybody around: the server finishes its calls, and then ends this one.
        signal.signal(number, signal.SIG_IGN)
    _step_back()
    argon2 = Argon2id(Argon2Cost(memory_kib, passes, lanes))
    with suppress(HashingError, MemoryError):  # then told to whoever asks
        _ = argon2.nobody
    telling = threading.Lock()

    def answer(line: bytes) -> None:
        number, work, password, password_hash = json.loads(line)
        done: object = None
        error = ""
        try:
            done = argon2.hash(password) if work == HASH else argon2.verify(password, password_hash)
        except Exception as failure:  # noqa: BLE001 - told to who asked
            error = type(failure).__name__
        with telling, suppress(BrokenPipeError):
            os.write(sys.stdout.fileno(), json.dumps([number, done, error]).encode() + b"\n")

    with ThreadPoolExecutor(threads) as pool:
        for line in sys.stdin.buffer:
            pool.submit(answer, line)


def _is_setting(name: str) -> bool:
    """It has no use for the server's settings, and some are secrets."""
    return name.startswith("TOKEN_SERVICE_")


def _step_back() -> None:
    """Let others go first: their turns are short, a hash is not. Yet not so far back that nobody
    can log in to a machine that is busy with other things. A priority is never raised."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, max(own, _NICENESS))


if __name__ == "__main__":
    main(sys.argv[1:])
