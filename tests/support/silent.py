"""Addresses at which nobody answers: connected to in vain, or not even that."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_HOST = "127.0.0.1"


class Silent:
    """The kernel accepts every connection, and no program ever reads from one."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        listener.setblocking(False)
        self._accepted: list[socket.socket] = []

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{_HOST}:{self._listener.getsockname()[1]}"

    @property
    def calls(self) -> int:
        """How many connections were made to it so far."""
        try:
            while True:
                self._accepted.append(self._listener.accept()[0])
        except BlockingIOError:
            return len(self._accepted)

    def close(self) -> None:
        """Hang up on all."""
        for one in (*self._accepted, self._listener):
            one.close()


@contextmanager
def silent() -> Iterator[Silent]:
    """A listener that says nothing."""
    one = Silent(socket.create_server((_HOST, 0), backlog=100))
    try:
        yield one
    finally:
        one.close()


@contextmanager
def unreachable() -> Iterator[str]:
    """An address whose packets get lost: its queue is full, and the kernel drops what comes."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server((_HOST, 0), backlog=0))
        address = full.getsockname()
        while True:
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.2)
            try:
                filler.connect(address)
            except TimeoutError:
                break
        yield f"{_HOST}:{address[1]}"
