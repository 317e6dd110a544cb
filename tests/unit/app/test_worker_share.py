"""What of the machine each worker may take."""

import pytest

from tests.unit.config.test_settings import loaded
from token_service.app.processes.worker import share_of


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


@pytest.mark.parametrize(
    ("processors", "workers", "threads"),
    [(1, 1, 1), (2, 1, 1), (8, 1, 4), (8, 2, 2), (2, 4, 1), (64, 1, 8), (64, 4, 2)],
)
def test_half_of_the_processors_are_left_to_others(
    monkeypatch: pytest.MonkeyPatch, processors: int, workers: int, threads: int
) -> None:
    monkeypatch.setattr("token_service.config.checks.processors", lambda: processors)
    settings = loaded(WORKERS=str(workers))
    assert share_of(settings).argon2_threads == threads
    assert share_of(settings).hashing_threads == threads


@pytest.mark.parametrize(
    ("workers", "calls", "places"), [(1, 64, 64), (1, 500, 66), (4, 64, 17), (64, 64, 2)]
)
def test_no_more_passwords_are_taken_on_than_can_wait_to_be_hashed(
    workers: int, calls: int, places: int
) -> None:
    settings = loaded(WORKERS=str(workers), ARGON2_THREADS="2", MAX_PASSWORD_CALLS=str(calls))
    assert share_of(settings).password_places == places


def test_metrics_are_the_supervisors() -> None:
    assert share_of(loaded(METRICS_LISTEN="127.0.0.1:9090")).metrics_listen is None
