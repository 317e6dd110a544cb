"""Several server processes on one port, kept alive, replaced one by one and stopped together.

The supervisor serves no call and loads nothing that would: it holds the port, starts the workers,
adds up their counts and reads signals.
"""

import asyncio
import signal
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from token_service.app.ending import on_hangup
from token_service.app.endpoints.metrics_endpoint import MetricsEndpoint
from token_service.app.endpoints.probes import PULSE_SECONDS, Pulse
from token_service.app.errors import StartupError, WorkersFailedError
from token_service.app.processes.fleet_probes import FleetProbes
from token_service.app.processes.reservation import reserved
from token_service.app.processes.restart_policy import GiveUp, RestartPolicy
from token_service.app.processes.supervisor_metrics import Fleet, FleetCollector
from token_service.app.processes.worker_process import (
    SILENT_START_SECONDS,
    WorkerProcess,
    how_it_ended,
    patience_with,
    worker_environment,
)
from token_service.config import Settings
from token_service.rpc.metrics import Counts, RpcCollector, total

SCRAPE_SECONDS = 5.0

_log = structlog.stdlib.get_logger("token_service.supervisor")


async def supervise(settings: Settings) -> int:
    """Run the workers until SIGTERM or SIGINT; 0 when all of them stopped gracefully.

    Raises StartupError for what the operator has to change, WorkersFailedError when the workers end
    as fast as they are replaced. No worker is left behind.
    """
    if settings.plaintext_beyond_this_machine:
        _log.warning("plaintext_beyond_this_machine", listen=settings.grpc_listen)
    with reserved(settings.grpc_listen) as address:
        return await Supervisor(settings, address, RestartPolicy()).run()


class Supervisor:
    """The workers, and what becomes of them."""

    def __init__(self, settings: Settings, address: str, policy: RestartPolicy) -> None:
        self._settings = settings
        self._address = address
        self._policy = policy
        self._workers: list[WorkerProcess] = []
        self._started = 0
        self._starting = asyncio.Lock()
        self._past = Counts()
        self._deaths = 0
        self._complete = False
        self._stopping = False
        self._renewing = False
        self._renew_again = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._metrics: MetricsEndpoint | None = None

    async def run(self) -> int:
        """Start the workers, keep them, stop them; the exit code."""
        self._follow_signals()
        clean = False
        try:
            await self._bring_up()
            await self._over
            _log.info("stopping")
        finally:
            clean = await self._stop()
        _log.info("stopped")
        return 0 if clean else 1

    def _follow_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._finish)
        on_hangup(self._renew)

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    async def _bring_up(self) -> None:
        """Start all, and wait until all serve or it is over before that."""
        try:
            await self._start_missing()
        except OSError as error:
            raise WorkersFailedError(f"no worker can be started: {error.strerror}") from error
        everyone = asyncio.gather(*(one.comes_up(SILENT_START_SECONDS) for one in self._workers))
        both: set[asyncio.Future[Any]] = {everyone, self._over}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self._over.done() or not all(everyone.result()):
            everyone.cancel()
            await asyncio.gather(everyone, return_exceptions=True)
            return  # who watches the one that ended says why
        self._complete = True
        if self._renew_again:
            self._renew()
        if self._settings.metrics_listen is not None:
            self._serve_metrics(self._settings.metrics_listen)
        _log.info("serving", address=self._address, workers=len(self._workers))

    async def _start_missing(self) -> None:
        async with self._starting:
            while not self._stopping and len(self._staying()) < self._settings.workers:
                await self._start()

    def _staying(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if not worker.leaving]

    async def _start(self, *, on_trial: bool = False) -> WorkerProcess:
        self._started += 1
        environment = worker_environment(self._settings, self._address)
        worker = await WorkerProcess.start(self._started, environment)
        worker.on_trial = on_trial
        self._workers.append(worker)
        self._begin(self._watch(worker))
        _log.info("worker_started", worker=worker.number, pid=worker.pid)
        return worker

    async def _watch(self, worker: WorkerProcess) -> None:
        """From a worker's start to its end and, where it ended unasked, its replacement."""
        if await worker.comes_up(SILENT_START_SECONDS):
            _log.info("worker_serving", worker=worker.number, pid=worker.pid)
        elif not worker.ended.done():
            _log.error("worker_start_hangs", worker=worker.number, pid=worker.pid)
            worker.kill()
        how = how_it_ended(await worker.ended)
        self._workers.remove(worker)
        self._past = total((self._past, worker.counts.ended()))
        if worker.leaving:
            _log.info("worker_ended", worker=worker.number, pid=worker.pid, how=how)
            return
        self._deaths += 1
        _log.error(
            "worker_died", worker=worker.number, pid=worker.pid, how=how, reason=worker.refusal
        )
        if worker.on_trial and not worker.served:
            return  # whoever tries it goes on with the old one
        if not self._complete and not worker.served:
            if worker.refusal:
                raise StartupError(worker.refusal)
            raise WorkersFailedError(f"a worker ended before it served: {how}")
        await self._replace(worker, how)

    async def _replace(self, worker: WorkerProcess, how: str) -> None:
        served, reason = worker.served, worker.refusal or how
        while True:
            decision = self._policy.died(time.monotonic(), served=served)
            if isinstance(decision, GiveUp):
                raise WorkersFailedError(f"{decision.reason}; the last one: {reason}")
            await asyncio.sleep(decision.pause)
            try:
                await self._start_missing()
            except OSError as error:
                served, reason = False, f"cannot be started: {error.strerror}"
                _log.error("worker_not_started", reason=reason)
            else:
                return

    def _renew(self) -> None:
        """Replace every worker by a new one, one after the other; once all serve, where they are
        starting: what they have read may have changed since."""
        if self._over.done():
            return
        self._renew_again = self._renewing or not self._complete
        if not self._renew_again:
            self._renewing = True
            self._begin(self._renew_all())

    async def _renew_all(self) -> None:
        try:
            while await self._renewed():
                if not self._renew_again:
                    return
                self._renew_again = False
        finally:
            self._renewing = False

    async def _renewed(self) -> bool:
        """Renew those that there are; False where a new one does not serve, and the rest stays."""
        _log.info("renewing", workers=len(self._staying()))
        for old in self._staying():
            if self._stopping:
                return False
            if not old.ended.done() and (reason := await self._renew_one(old)):
                _log.error("renewing_given_up", reason=reason)
                return False
        _log.info("renewed")
        return True

    async def _renew_one(self, old: WorkerProcess) -> str:
        """Start a worker, and end the old one once that serves; else why it does not."""
        try:
            new = await self._start(on_trial=True)
        except OSError as error:
            return f"cannot be started: {error.strerror}"
        if not await new.comes_up(SILENT_START_SECONDS):
            hangs = not new.ended.done()
            return "it hangs" if hangs else new.refusal or how_it_ended(await new.ended)
        new.on_trial = False
        if not old.leaving and not old.ended.done():
            old.hand_over()
            await self._see_off([old])
        await self._start_missing()  # where another one died meanwhile, and this one stood in
        return ""

    async def _stop(self) -> bool:
        """Stop all and wait for their ends; whether each was graceful."""
        self._stopping = True
        clean = True
        while everyone := tuple(self._workers):  # one may have been starting just now
            for worker in everyone:
                worker.terminate()
            clean = await self._see_off(everyone) and clean
            await asyncio.sleep(0.01)  # until it is noticed by who watches them
        if self._metrics is not None:
            await self._metrics.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return clean

    async def _see_off(self, workers: Sequence[WorkerProcess]) -> bool:
        """Wait for workers that were asked to end, kill those that do not in time."""
        within = patience_with(self._settings)
        codes = await asyncio.gather(*(worker.gone(within) for worker in workers))
        return all(
            code == 0 or not worker.served for worker, code in zip(workers, codes, strict=True)
        )

    def _serve_metrics(self, listen: str) -> None:
        loop = asyncio.get_running_loop()

        def read() -> Counts:
            return asyncio.run_coroutine_threadsafe(self._counts(), loop).result(SCRAPE_SECONDS)

        probes = FleetProbes(lambda: tuple(self._workers), self._over.done)
        self._begin(_beat(probes.pulse))
        self._metrics = MetricsEndpoint(
            listen, probes, RpcCollector(read), FleetCollector(self._fleet)
        )

    async def _counts(self) -> Counts:
        await asyncio.gather(*(worker.refresh() for worker in tuple(self._workers)))
        return total((self._past, *(worker.counts for worker in self._workers)))

    def _fleet(self) -> Fleet:
        return Fleet(sum(worker.served for worker in tuple(self._workers)), self._deaths)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside the rest; its failure ends the service."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self._over.done():
            self._over.set_exception(error)


async def _beat(pulse: Pulse) -> None:
    while True:
        pulse.beat()
        await asyncio.sleep(PULSE_SECONDS)
