"""Probes of several workers as one process."""

from collections.abc import Callable, Sequence

from token_service.app.endpoints.probes import STOPPING, Pulse
from token_service.app.processes.worker_process import WorkerProcess


class FleetProbes:
    """`Probes` of a supervisor. `workers` are those that it has, `stopping` whether they end.

    It is ready when one worker serves and each that serves is ready: the kernel gives every one
    of them its share of the new connections, whatever state it is in. One that starts or that
    leaves does not count, so neither a death nor a renewal takes the node away from its balancer.
    """

    def __init__(
        self, workers: Callable[[], Sequence[WorkerProcess]], stopping: Callable[[], bool]
    ) -> None:
        self.pulse = Pulse()
        self._workers = workers
        self._stopping = stopping

    def why_not_live(self) -> str:
        """See Probes."""
        silent = self.pulse.why_not_live("the supervisor")
        return silent or next(filter(None, map(_silence, self._serving())), "")

    def why_not_ready(self) -> str:
        """See Probes."""
        if self._stopping():
            return STOPPING
        serving = [worker for worker in self._serving() if not worker.leaving]
        if not serving:
            return "no worker serves"
        return next(filter(None, map(_unready, serving)), "")

    def _serving(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers() if worker.served]


def _silence(worker: WorkerProcess) -> str:
    return worker.pulse.why_not_live(f"worker {worker.number}")


def _unready(worker: WorkerProcess) -> str:
    why = worker.unready
    return _silence(worker) or (f"worker {worker.number}: {why}" if why else "")
