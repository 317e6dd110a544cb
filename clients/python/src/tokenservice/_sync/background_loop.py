"""An event loop on a thread of its own, for programs that have none.

::

    loop = BackgroundLoop()
    tokens = loop.run(client.exchange(session_token))
    loop.close()
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tokenservice._times import seconds_of

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import timedelta

Result = TypeVar("Result")

STOP_SECONDS: Final = 10.0


class BackgroundLoop:
    """Runs coroutines for any number of threads; starts with the first one.

    Belongs to the process that started it: after a fork, use in the child raises RuntimeError,
    for its thread did not come along. Closing cancels what still runs.
    """

    def __init__(self, name: str = "tokenservice") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._closed = False

    @property
    def usable(self) -> bool:
        """Whether it runs in this process: it was started, and neither closed nor left behind."""
        running = self._running
        return running is not None and not self._closed and running.pid == os.getpid()

    def run(
        self, coroutine: Coroutine[Any, Any, Result], timeout: timedelta | None = None
    ) -> Result:
        """Run to the end and give the result or raise what it raised.

        Whoever stops waiting, by TimeoutError after ``timeout`` or by an interrupt,
        cancels it. Raises RuntimeError on the loop's own thread, which would wait for itself.
        """
        running = self._running
        if running is not None and threading.get_ident() == running.thread.ident:
            coroutine.close()
            raise RuntimeError("waiting on the loop's own thread would never end")
        future = self.submit(coroutine)
        try:
            return future.result(seconds_of(timeout, "timeout"))
        except BaseException:
            future.cancel()
            raise

    def submit(self, coroutine: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Start a coroutine and give its future. Raises RuntimeError once closed or forked."""
        try:
            self._check_process()  # before the lock, which another thread held at the fork
            # Under the lock: close() takes everything down that was submitted before it.
            with self._lock:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop())
        except BaseException:
            coroutine.close()
            raise

    def close(self) -> None:
        """Cancel what runs and end the thread. May be called again; not from the loop itself."""
        if self._running is not None and not self.usable:
            return
        with self._lock:
            self._closed = True
            running = self._running
        if running is not None:
            running.end()

    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise RuntimeError("the background loop is closed")
        if self._running is None:
            self._running = _start(self._name)
            # For those who do not close: at the interpreter's end or when nobody is left.
            weakref.finalize(self, self._running.end)
        return self._running.loop

    def _check_process(self) -> None:
        running = self._running
        if running is not None and running.pid != os.getpid():
            raise RuntimeError("the background loop was started before a fork; make one after it")


@dataclass(frozen=True, slots=True)
class _Running:
    pid: int
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event

    def end(self) -> None:
        if self.pid != os.getpid() or not self.thread.is_alive():
            return
        try:
            self.loop.call_soon_threadsafe(self.stop.set)
        except RuntimeError:  # it has just closed
            return
        if threading.get_ident() != self.thread.ident:
            self.thread.join(STOP_SECONDS)


def _start(name: str) -> _Running:
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=_serve, args=(started,), name=name, daemon=True)
    thread.start()
    loop, stop = started.result()
    return _Running(os.getpid(), thread, loop, stop)


def _serve(started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    async def until_stopped() -> None:
        stop = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()

    # Ending, it cancels all tasks and waits for them.
    asyncio.run(until_stopped())
