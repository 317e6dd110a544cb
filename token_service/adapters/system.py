"""Clock and randomness of the machine, and other processes on it."""

import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from tokenservice.core import AnchoredClock


class AnchoredSystemClock:
    """Time of the Postgres primary, on a clock that runs on during suspend (ports.Clock).

    Every node follows the same clock, so nodes whose wall clocks differ by an hour still agree.
    Raises RuntimeError before the first reading of the trust log has anchored it.
    """

    def __init__(self, anchor: AnchoredClock | None = None) -> None:
        self.anchor = anchor or AnchoredClock()
        self.unix = self.anchor.now

    def now(self) -> datetime:
        """Aware UTC datetime."""
        if not self.anchor.anchored:
            raise RuntimeError("the clock was not anchored yet")
        return datetime.fromtimestamp(self.unix(), UTC)

    def unix_at(self, boot: float) -> float:
        """Unix seconds at a reading of the local clock."""
        return self.unix() - (self.anchor.boot() - boot)


class SystemRandomness:
    """The operating system's randomness (ports.Randomness)."""

    def bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""
        return secrets.token_bytes(count)

    def uuid(self) -> UUID:
        """A random UUID (version 4)."""
        return uuid4()


def command_of(module: str) -> tuple[str, ...]:
    """How to run one of our modules in a process of its own, from the same files.

    `-m` puts the current folder in front of the modules' search path; where ours does not have it,
    the other process shall not either, for anybody may have written there.
    """
    alike = () if str(Path.cwd()) in sys.path else ("-P",)
    return (sys.executable, *alike, "-m", module)
