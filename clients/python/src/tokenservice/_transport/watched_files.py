"""Files that others renew while this program runs: certificates, authorities, secrets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

LOOK_SECONDS: Final = 1.0
"""How often files are looked at, at the most."""

Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]
"""Of each file: its number, size and time of change; None of one that is not there."""


class WatchedFiles:
    """Tells when files are others than before; costs nothing between two looks.

    Links are followed, so a folder that is exchanged as a whole is noticed too.
    """

    def __init__(self, paths: Iterable[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._paths = tuple(paths)
        self._clock = clock
        self._look_at = 0.0
        self._stamp: Stamp = ()

    def look(self, *, at_once: bool = False) -> Stamp | None:
        """Give the files' stamp, if it is not the one that was accepted; else, or if they were
        looked at a moment ago, None."""
        now = self._clock()
        if not self._paths or (now < self._look_at and not at_once):
            return None
        self._look_at = now + LOOK_SECONDS
        stamp = tuple(_stamp(path) for path in self._paths)
        return None if stamp == self._stamp else stamp

    def accept(self, stamp: Stamp) -> None:
        """Take this for the present state. Stamps are taken before the files are read."""
        self._stamp = stamp


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
