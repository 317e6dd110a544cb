"""The example gateway on a port of its own, on a thread with an event loop of its own."""

import socket
import threading
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import Self

import uvicorn

from clients.examples.qr_login.app import create_app
from clients.examples.qr_login.backend import Backend, Credentials
from clients.examples.qr_login.patience import SECONDS
from tests.support.clocks import ShiftedClock
from tests.support.waiting import PATIENCE

HEARTBEAT = timedelta(milliseconds=200)
"""Of the service's trust feed, by which validators learn what time it is there."""


def noticed(clock: ShiftedClock, backend: Backend) -> bool:
    """Whether a gateway knows how late it is by the service's clock, which the test moved."""
    return backend.validator.local.clock.now() > clock.unix() - 1.0


class Gateway:
    """Serves while the block runs."""

    def __init__(self, credentials: Credentials, patience: float = SECONDS) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://localhost:{self._socket.getsockname()[1]}"
        app = create_app(credentials, self.origin, patience)
        self.backend: Backend = app.state.backend
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        self._socket.close()

    def _run(self) -> None:
        with suppress(SystemExit):
            self._server.run(sockets=[self._socket])
