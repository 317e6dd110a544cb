"""A process that serves while another one begins anew, with the same process id and no gap.

At SIGHUP a server without a supervisor starts a worker on its own address. Once that serves, it
finishes the calls that it has in flight and executes its program again in place of itself: files of
secrets, certificates and the code are read as at any start, and whoever manages it sees the process
that they started. The new program serves, tells the worker to hand over, and is alone again.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import NoReturn, Self

import structlog

from token_service.app.ending import Ending
from token_service.app.processes.control import ControlLine
from token_service.app.processes.worker_process import (
    SILENT_START_SECONDS,
    WorkerProcess,
    how_it_ended,
    patience_with,
    worker_environment,
)
from token_service.config import Settings

VARIABLE = "_TOKEN_SERVICE_STAND_IN"
"""What the program that begins anew leaves for itself: no setting."""

NUMBER = 0
"""The stand-in's, in the lines that it logs."""

_log = structlog.stdlib.get_logger("token_service")


class StandIn:
    """The worker as the new program finds it. `address` is where it serves."""

    def __init__(self, pid: int, end: socket.socket, address: str) -> None:
        self.address = address
        self._pid = pid
        self._end = end

    @classmethod
    def inherited(cls) -> Self | None:
        """The one that stands in for this process, if it begins anew."""
        text = os.environ.pop(VARIABLE, "")
        if not text:
            return None
        pid, descriptor, address = json.loads(text)
        os.set_inheritable(descriptor, False)
        return cls(pid, socket.socket(fileno=descriptor), address)

    @property
    def serves(self) -> bool:
        """Whether it still lives. To be asked before it is told to leave."""
        with suppress(ChildProcessError):
            return os.waitpid(self._pid, os.WNOHANG) == (0, 0)
        return False

    async def leave(self, patience: float) -> None:
        """Let it finish what it has in flight and end, within `patience` seconds."""
        line = await ControlLine.open(self._end)
        line.send(do="hand over")
        try:
            async with asyncio.timeout(patience):
                async for _ in line.messages():
                    continue
        except TimeoutError:
            _log.error("stand_in_does_not_end", pid=self._pid)
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        await line.close()
        with suppress(ChildProcessError):
            await asyncio.to_thread(os.waitpid, self._pid, 0)
        _log.info("renewed")


async def started(settings: Settings, address: str, ending: Ending) -> WorkerProcess | None:
    """A worker that serves at `address`; None where it cannot, or where the server is to stop
    first. Then none is left behind."""
    _log.info("renewing")
    try:
        worker = await WorkerProcess.start(NUMBER, worker_environment(settings, address))
    except OSError as error:
        _log.error("renewing_given_up", reason=error.strerror)
        return None
    serving = asyncio.create_task(worker.comes_up(SILENT_START_SECONDS))
    stopping = asyncio.create_task(ending.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if serving.done() and serving.result() and not ending.asked:
        return worker
    worker.terminate()
    await worker.gone(patience_with(settings))
    await serving
    if not ending.asked:
        how = how_it_ended(worker.ended.result())
        _log.error("renewing_given_up", reason=worker.refusal or how)
    return None


def begin_anew(worker: WorkerProcess, address: str) -> NoReturn:
    """Execute this program again in place of itself, which closes all connections. Signals are
    held (`hold_signals`), and the new program finds them. Not before
    gRPC has nothing in flight, and not by taking it down in order: that would answer calls that
    still arrive in a way that no client retries."""
    os.environ[VARIABLE] = json.dumps([worker.pid, worker.keep_line(), address])
    logging.shutdown()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves
