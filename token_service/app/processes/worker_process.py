"""A worker as its supervisor sees it: a process, what it says, and its end."""

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

import structlog

from token_service.adapters.system import command_of
from token_service.app.endpoints.probes import Pulse
from token_service.app.processes.control import ControlLine
from token_service.config import PREFIX, Settings
from token_service.rpc.metrics import Counts

MODULE = "token_service.app.processes.worker"
SILENT_START_SECONDS = 60.0
STOP_MARGIN_SECONDS = 5.0
COUNT_SECONDS = 1.0
LAST_WORDS_SECONDS = 1.0

_log = structlog.stdlib.get_logger("token_service.supervisor")


class WorkerProcess:
    """One of them. `counts` is what it last said of its calls, `refusal` why it cannot serve,
    `unready` why it should be sent no calls; `pulse` beats with all that it says."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, line: ControlLine) -> None:
        self.number = number
        self.pid = process.pid
        self.counts = Counts()
        self.refusal = ""
        self.unready = ""
        self.pulse = Pulse()
        self.leaving = False
        self.on_trial = False
        self._process = process
        self._line = line
        self._serving = asyncio.Event()
        self._asked = 0
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._listening = asyncio.create_task(self._listen())
        self.ended = asyncio.create_task(self._end())

    @classmethod
    async def start(cls, number: int, environment: Mapping[str, str]) -> Self:
        """Start a fresh interpreter, in a session of its own: what a terminal sends to our group
        does not reach it. Raises OSError."""
        ours, its = socket.socketpair()
        with its:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command_of(MODULE),
                    str(number),
                    str(its.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(its.fileno(),),
                    env=environment,
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        return cls(number, process, await ControlLine.open(ours))

    @property
    def served(self) -> bool:
        """Whether it has ever served."""
        return self._serving.is_set()

    async def comes_up(self, silence: float) -> bool:
        """Wait until it serves; False where it ends before, or says nothing for `silence` s. How
        long it takes to load is a matter of how much there is."""
        serving = asyncio.create_task(self._serving.wait())
        try:
            while not (self.served or self.ended.done()) and self.pulse.silence < silence:
                await asyncio.wait(
                    {serving, self.ended},
                    timeout=silence - self.pulse.silence,
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            serving.cancel()
        return self.served and not self.ended.done()

    async def refresh(self) -> None:
        """Bring `counts` up to date, unless it does not answer in time."""
        self._asked += 1
        asked = self._asked
        answer = self._answers[asked] = asyncio.get_running_loop().create_future()
        self._line.send(do="count", asked=asked)
        try:
            await asyncio.wait(
                {answer, self.ended}, timeout=COUNT_SECONDS, return_when="FIRST_COMPLETED"
            )
        finally:
            del self._answers[asked]

    def hand_over(self) -> None:
        """Let it end, while others serve on."""
        self.leaving = True
        self._line.send(do="hand over")

    def terminate(self) -> None:
        """Let it end as the whole service does."""
        self.leaving = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    async def gone(self, within: float) -> int:
        """Its exit code, once it has ended as it was asked to; killed after so many seconds."""
        await asyncio.wait({self.ended}, timeout=within)
        if not self.ended.done():
            _log.error("worker_does_not_end", worker=self.number, pid=self.pid)
            self.kill()
        return await self.ended

    def keep_line(self) -> int:
        """The descriptor of our end of the control line, for the program that is executed next in
        this process."""
        return self._line.keep()

    def _signal(self, number: int) -> None:
        # Not by the process object's own method: that asks for the exit code on the way, and who
        # waits for the end would find none.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _end(self) -> int:
        code = await self._process.wait()
        await asyncio.wait({self._listening}, timeout=LAST_WORDS_SECONDS)
        self._listening.cancel()
        await self._line.close()
        return code

    async def _listen(self) -> None:
        async for message in self._line.messages():
            self.pulse.beat()
            if "serving" in message:
                self._serving.set()
            self.refusal = str(message.get("refused", self.refusal))
            self.unready = str(message.get("unready", self.unready))
            if "counts" in message:
                self._take(message)

    def _take(self, message: Mapping[str, Any]) -> None:
        try:
            self.counts = Counts.from_json(message["counts"])
        except ValueError as error:
            _log.warning("counts_not_understood", worker=self.number, problem=str(error))
        answer = self._answers.get(message.get("asked", 0))
        if answer is not None and not answer.done():
            answer.set_result(None)


def how_it_ended(code: int) -> str:
    """For logs and messages: `exit 1`, `SIGKILL`."""
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def worker_environment(settings: Settings, address: str) -> dict[str, str]:
    """What a worker that serves at `address` is given: our own environment, but for that."""
    return {
        **os.environ,
        f"{PREFIX}WORKERS": str(settings.workers),
        f"{PREFIX}GRPC_LISTEN": address,
    }


def patience_with(settings: Settings) -> float:
    """How long a worker may take to end, in seconds."""
    allowed = settings.drain_delay + settings.grace_period
    return allowed.total_seconds() + STOP_MARGIN_SECONDS
