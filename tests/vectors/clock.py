"""The server's clock, as it is known from samples."""

from typing import Any


def make() -> dict[str, Any]:
    """The file."""
    return {"about": "The server's clock by the local one (trust.md).", "cases": _cases()}


def _sample(server: float, sent: float, received: float, adopted: bool) -> dict[str, Any]:
    times = {"server_time": server, "sent_at": sent, "received_at": received}
    return {"do": "sample", **times, "expect": adopted}


def _witness(server: float, received: float) -> dict[str, Any]:
    return {"do": "witness", "server_time": server, "received_at": received, "expect": None}


def _look(
    boot: float, now: float | None, uncertainty: float | None, settled: bool = False
) -> dict[str, Any]:
    expect = {"now": now, "uncertainty": uncertainty, "settled": settled}
    return {"do": "look", "boot": boot, "expect": expect}


def _cases() -> list[dict[str, Any]]:
    exact = _sample(5000, 1000, 1000, True)
    cases: dict[str, list[dict[str, Any]]] = {
        "before the first sample there is no time": [_look(1000, None, None)],
        "a message before the first sample proves nothing": [
            _witness(5000, 1000),
            _look(1000, None, None),
        ],
        "the middle of the round trip is the server's moment": [
            _sample(5000, 999, 1000, True),
            _look(1000, 5000.5, 0.5),
            _look(1100, 5100.5, 0.55),
        ],
        "it may be off by more as time passes": [exact, _look(1100, 5100, 0.05)],
        "a worse sample is ignored": [
            _sample(5000, 999.75, 1000, True),
            _sample(5000.5, 999.5, 1001, False),
            _look(1001, 5001.125, 0.1255),
        ],
        "a better one is adopted": [
            _sample(5000, 999, 1000, True),
            _sample(5000.25, 999.75, 1000, True),
            _look(1000, 5000.375, 0.125),
        ],
        "the one held has worsened by now": [
            exact,
            _sample(5100, 1099.8, 1100, False),
            _sample(5999.9, 1999.8, 2000, True),
            _look(2000, 6000, 0.1, True),
        ],
        "a clock that was set ahead is believed at once": [
            exact,
            _sample(8600, 1000, 1001, True),
            _look(1001, 8600.5, 0.5),
        ],
        "a clock that was set back is believed at once": [
            exact,
            _sample(1400, 1000, 1001, True),
            _look(1001, 1400.5, 0.5),
        ],
        "a slow answer alone is no step": [
            exact,
            _sample(5002, 1002, 1010, False),
            _look(1010, 5010, 0.005),
        ],
        "received before it was sent": [_sample(5000, 1001, 1000, False), _look(1001, None, None)],
        "a message that fits proves nothing new": [
            _sample(5000, 999, 1000, True),
            _witness(5000.75, 1000),
            _witness(100, 1000),
            _look(1000, 5000.5, 0.5),
        ],
        "a server further ahead than possible makes it uncertain": [
            exact,
            _witness(5060, 1000),
            _look(1000, 5030, 30),
            _sample(5060, 999.75, 1000.25, True),
            _look(1000.25, 5060.25, 0.25),
        ],
        "settled after 900 seconds without a step": [
            exact,
            _look(1899.5, 5899.5, 0.44975),
            _look(1900, 5900, 0.45, True),
        ],
        "a correction of a second at most is no step": [
            exact,
            _sample(5901, 1900, 1900, True),
            _look(1900, 5901, 0, True),
        ],
        "a step starts the time over": [
            exact,
            _sample(5901.5, 1900, 1900, True),
            _look(1900, 5901.5, 0),
            _look(2799, 6800.5, 0.4495),
            _look(2800, 6801.5, 0.45, True),
        ],
        "so does a message from far ahead": [
            exact,
            _witness(5904, 1900),
            _look(1900, 5901.775, 2.225),
        ],
    }
    return [{"name": name, "steps": steps} for name, steps in cases.items()]
