"""Where histories are put that break one promise, or none."""

from collections.abc import Callable

from tests.histories.story import Story

Plant = Callable[[Story], object]
PLANTED: dict[str, tuple[str, Plant]] = {}
ACCEPTED: dict[str, Plant] = {}


def plant(promise: str) -> Callable[[Plant], Plant]:
    """A history that breaks this promise, and no other."""

    def add(write: Plant) -> Plant:
        PLANTED[write.__name__] = (promise, write)
        return write

    return add


def accept(write: Plant) -> Plant:
    """A history that breaks none."""
    ACCEPTED[write.__name__] = write
    return write
