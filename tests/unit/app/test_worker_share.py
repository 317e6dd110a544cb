"""What of the machine each worker may take."""

import pytest

from tests.unit.config.test_settings import loaded
from token_service.app.worker import share_of


@pytest.mark.parametrize(
    ("workers", "threads", "queue", "share"),
    [
        (1, 2, 64, (2, 64)),
        (2, 2, 64, (1, 32)),
        (4, 2, 64, (1, 16)),
        (3, 8, 10, (2, 4)),
        (2, 1, 0, (1, 0)),
    ],
)
def test_hashing_is_divided(workers: int, threads: int, queue: int, share: tuple[int, int]) -> None:
    settings = loaded(WORKERS=str(workers), ARGON2_THREADS=str(threads), ARGON2_QUEUE=str(queue))
    one = share_of(settings)
    assert (one.argon2_threads, one.argon2_queue) == share


def test_metrics_are_the_supervisors() -> None:
    assert share_of(loaded(METRICS_LISTEN="127.0.0.1:9090")).metrics_listen is None
