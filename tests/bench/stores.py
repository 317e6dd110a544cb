"""The stores that a benchmark runs on: PostgreSQL durable as in production, and Valkey."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from token_service.adapters.embedded import EmbeddedPostgres, EmbeddedValkey

_STARTED = time.monotonic()


@contextmanager
def stores() -> Iterator[tuple[EmbeddedPostgres, str, Path]]:
    """PostgreSQL, the address of Valkey, and a folder for what else there is."""
    with tempfile.TemporaryDirectory(prefix="token-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with (
            EmbeddedPostgres(folder / "postgres") as postgres,
            EmbeddedValkey(folder / "valkey") as valkey,
        ):
            yield postgres, valkey.url, folder


class Part(Protocol):
    """What measures something, on these stores and with this folder for what else there is."""

    def __call__(
        self, postgres: EmbeddedPostgres, redis_url: str, folder: Path, *, quick: bool
    ) -> dict[str, Any]:
        """The results by name."""


def alone(measure: Part) -> None:
    """Measure one part alone; `--quick` among the arguments asks for less. Prints JSON."""
    with stores() as (postgres, redis_url, folder):
        results = measure(postgres, redis_url, folder, quick="--quick" in sys.argv)
    sys.stdout.write(json.dumps(results, indent=2) + "\n")


def note(stage: str) -> None:
    """Tell what is being measured, and how long after the start."""
    sys.stderr.write(f"{time.monotonic() - _STARTED:4.0f} s  {stage}\n")
