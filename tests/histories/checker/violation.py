"""A broken promise, with the operations that show it."""

from dataclasses import dataclass

from tests.histories.history import Operation


@dataclass(frozen=True, slots=True)
class Violation:
    """`promise` is one of the names in `checker.PROMISES`; `operations` are numbers."""

    promise: str
    text: str
    operations: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.promise}: {self.text} (operations {', '.join(map(str, self.operations))})"


def violated(promise: str, text: str, *operations: Operation | None) -> Violation:
    """A violation that these operations show."""
    return Violation(promise, text, tuple(one.number for one in operations if one is not None))
