"""A thread that makes the items of a stream, so that whoever waits for one can give up."""

from __future__ import annotations

import threading
from contextvars import copy_context
from functools import partial
from queue import Empty, Queue
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")


class Finished(Exception):  # noqa: N818 - an event, not a fault
    """There are no more items."""


class NotYet(Exception):  # noqa: N818 - an event, not a fault
    """There is no item yet."""


class Worker(Generic[T]):
    """Runs ``produce`` in a thread; it is one item ahead of whoever takes them.

    The thread has a copy of the context in which the worker was made.
    """

    def __init__(self, produce: Callable[[], Iterable[T]]) -> None:
        self._produce = produce
        self._items: Final[Queue[tuple[T | None, BaseException | None]]] = Queue(maxsize=1)
        self._stopped = threading.Event()
        run = partial(copy_context().run, self._run)
        threading.Thread(target=run, name="tokenservice-stream", daemon=True).start()

    def take(self, timeout: float) -> T:
        """Give the next item.

        Raises NotYet when there is none in time, Finished after the last, and whatever
        ``produce`` raised.
        """
        try:
            item, failure = self._items.get(timeout=max(timeout, 0))
        except Empty:
            raise NotYet from None
        if failure is not None:
            raise failure
        return item  # type: ignore[return-value]  # None may be an item

    def stop(self) -> None:
        """Let the thread end at its next item; what it has made is thrown away."""
        self._stopped.set()
        try:
            self._items.get_nowait()
        except Empty:
            return

    def _run(self) -> None:
        try:
            for item in self._produce():
                self._items.put((item, None))
                # A put that waited when stop() made room comes back to find it set.
                if self._stopped.is_set():
                    return
            self._items.put((None, Finished()))
        except BaseException as failure:  # noqa: BLE001 - it is raised where the item is due
            self._items.put((None, failure))
