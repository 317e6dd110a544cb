"""The time a call has left, visible to everything that works for it.

The rpc layer sets it; adapters derive each store call's timeout from it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ends_at: ContextVar[float | None] = ContextVar("deadline_ends_at", default=None)


@contextmanager
def until(seconds: float) -> Iterator[None]:
    """Everything inside has at most `seconds` (monotonic time)."""
    token = _ends_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends_at.reset(token)


def start(seconds: float) -> None:
    """Like `until`, for a task that is all one call's own: nothing to restore at its end."""
    _ends_at.set(time.monotonic() + seconds)


def remaining(at_most: float) -> float:
    """Seconds left for the current call, at most `at_most`, at least 0."""
    ends_at = _ends_at.get()
    if ends_at is None:
        return at_most
    return min(at_most, max(0.0, ends_at - time.monotonic()))
