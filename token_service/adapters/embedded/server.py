"""What both embedded servers have in common: their life from start to stop."""

import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from token_service.adapters.embedded.errors import EmbeddedError
from token_service.adapters.embedded.place import DataDir, SocketDir
from token_service.adapters.embedded.process import ServerProcess, StopStep


class EmbeddedServer(ABC):
    """One server on one data directory, which no other process may use meanwhile.

    It ends with this process, even one killed with SIGKILL, and survives the thread that started
    it. Every method may block; use a thread from asynchronous code.
    """

    _stop_steps: ClassVar[tuple[StopStep, ...]]

    def __init__(self, data_dir: Path | str, *, start_timeout: float) -> None:
        """Describe a server; nothing happens before `start`. `start_timeout` is in seconds."""
        self._data = DataDir(Path(data_dir))
        self._sockets = SocketDir(self._data)
        self._start_timeout = start_timeout
        self._server: ServerProcess | None = None

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises EmbeddedError where the directory is in use or unusable, or the server does not
        come up in time; then nothing is left running.
        """
        if self._server is not None:
            raise EmbeddedError("this server has been started already")
        try:
            self._data.acquire()
            self._server = self._launch()
            self._await_ready(self._server)
        except OSError as error:
            self.stop()
            raise EmbeddedError(f"cannot use {self._data.path}: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server in an orderly way. Stopping twice is no error."""
        self._end(self._stop_steps)

    def crash(self) -> None:
        """Kill the server without warning, as a power cut would."""
        self._process()
        self._end(())

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._process().pid

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._server is not None and self._server.status() is None

    @abstractmethod
    def _launch(self) -> ServerProcess:
        """Prepare everything and start the process."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether the server answers."""

    def _await_ready(self, server: ServerProcess) -> None:
        deadline = time.monotonic() + self._start_timeout
        while not self._is_ready():
            if server.status() is not None:
                raise server.failure(f"ended with status {server.status()}")
            if time.monotonic() > deadline:
                raise server.failure(f"was not ready after {self._start_timeout:.0f} s")
            time.sleep(0.01)

    def _end(self, steps: tuple[StopStep, ...]) -> None:
        if self._server is not None:
            self._server.stop(steps)
            self._server = None
        if self._data.locked:
            self._sockets.remove()
            self._data.release()

    def _process(self) -> ServerProcess:
        if self._server is None:
            raise EmbeddedError("the embedded server is not running")
        return self._server
