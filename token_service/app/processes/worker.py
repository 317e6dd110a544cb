"""One of several processes that serve together: the program that a supervisor starts.

Its arguments are its number and the descriptor of its control line. The environment is that of the
supervisor: the settings, and what `__main__` tells gRPC's core.
"""

import asyncio
import logging
import os
import socket
import sys
import time
from typing import NoReturn

import structlog
import uvloop

from token_service.app.ending import Ending, ignore_hangups
from token_service.app.endpoints.probes import PULSE_SECONDS, STARTING
from token_service.app.errors import StartupError
from token_service.app.parts import Parts
from token_service.app.processes.control import ControlLine
from token_service.app.server import Application, collect_less
from token_service.config import ConfigError, Settings, load
from token_service.domain.errors import TokenServiceError
from token_service.logging import configure

REPORT_SECONDS = 1.0
FAILED = 1
UNUSABLE = 2

_log = structlog.stdlib.get_logger("token_service.worker")


class Worker:
    """A server that tells its supervisor how it does, and ends with it."""

    def __init__(self, line: ControlLine, ending: Ending) -> None:
        self._line = line
        self._ending = ending
        self._application: Application | None = None
        self._said = ""

    async def serve(self, settings: Settings) -> None:
        """Serve until told to stop. Raises StartupError, TokenServiceError."""
        self._application = await Application.create(
            settings, await Parts.open(settings), shares_port=True
        )
        try:
            address = await self._application.start()
            collect_less()
            self._report()  # that it is ready, before anybody asks
            self._line.send(serving=address)
            await self._ending.wait()
            _log.info("worker_stopping", hands_over=self._ending.hands_over)
        finally:
            await self._application.stop(hands_over=self._ending.hands_over)
            self._report()

    async def listen(self) -> None:
        """Do what the supervisor says, until it is gone; then stop."""
        async for message in self._line.messages():
            match message.get("do"):
                case "count":
                    self._report(asked=message.get("asked"))
                case "hand over":
                    self._ending.ask(hands_over=True)
        _log.warning("supervisor_gone")
        self._ending.ask()

    async def report(self) -> None:
        """Tell the counts every second, so that few are lost when this process is killed, and at
        once whether it is ready for calls. A start may take long: it is alive meanwhile."""
        reported = 0.0
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            due = time.monotonic() - reported >= REPORT_SECONDS
            if (due or self._unready() != self._said) and not self._line.congested:
                self._report()
                reported = time.monotonic()

    def _report(self, **answer: object) -> None:
        self._said = self._unready()
        if self._application is None:
            self._line.send(unready=self._said)
        else:
            counts = self._application.counts().to_json()
            self._line.send(counts=counts, unready=self._said, **answer)

    def _unready(self) -> str:
        return self._application.why_not_ready() if self._application is not None else STARTING


async def run(end: socket.socket, number: int) -> int:
    """Serve; return the exit code."""
    ending = Ending()
    ending.on_signals()
    line = await ControlLine.open(end)
    worker = Worker(line, ending)
    tasks = [asyncio.create_task(worker.listen()), asyncio.create_task(worker.report())]
    try:
        settings = load()
        configure(settings.log_level, settings.log_format, fields={"worker": number})
        await worker.serve(share_of(settings))
    except (ConfigError, StartupError) as error:
        line.send(refused=str(error))
        return UNUSABLE
    except TokenServiceError as error:
        line.send(refused=f"{error.reason.value}: {error.message}")
        return FAILED
    except Exception:  # noqa: BLE001 - to be logged without what its text may hold
        _log.exception("worker_failed")
        return FAILED
    finally:
        for task in tasks:
            task.cancel()
        await line.close()
    if ending.hands_over:
        _end_at_once()
    return 0


def _end_at_once() -> NoReturn:
    """Close all connections by the end of the process, before gRPC is taken down in order: that
    would answer calls that still arrive in a way that no client retries."""
    logging.shutdown()
    os._exit(0)


def share_of(settings: Settings) -> Settings:
    """What one of the workers may take of what the machine has to bear as a whole; and no metrics
    of its own."""
    return settings.model_copy(
        update={
            "argon2_threads": max(1, settings.hashing_threads // settings.workers),
            "argon2_queue": -(-settings.argon2_queue // settings.workers),
            "metrics_listen": None,
        }
    )


def main() -> int:
    """Run the worker that the arguments describe."""
    ignore_hangups()
    number, descriptor = map(int, sys.argv[1:])
    os.set_inheritable(descriptor, False)  # whoever we start must not keep the line open
    configure(fields={"worker": number})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run(socket.socket(fileno=descriptor), number))


if __name__ == "__main__":
    sys.exit(main())
