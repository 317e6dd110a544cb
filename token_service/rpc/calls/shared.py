"""What the calls of all methods share."""

from collections.abc import Callable
from typing import Protocol

from token_service.domain.errors import TokenServiceError
from token_service.rpc.admission import request_ids
from token_service.rpc.calls.arrivals import Arrivals
from token_service.rpc.metrics import MethodCounters
from token_service.rpc.network.peers import Peers
from token_service.rpc.policy_table import Work

MOST_ARRIVING = 10_000
MOST_ANONYMOUS_ARRIVING = 100
"""Calls that wait for their request, of clients and of anybody. What is really sent is there at
once, so these are many; the second times the largest request is what strangers can make us hold."""

ARRIVAL_SECONDS = 5.0
"""How long a request may take to arrive after its headers."""

PATIENCE = 5.0
"""How long the client of a stream may take to accept a message, in seconds."""

Refusal = Callable[[], TokenServiceError]
"""Makes the error that a stream is ended with."""


class OpenStream(Protocol):
    """A stream that is being served."""

    @property
    def work(self) -> Work:
        """The class of work that it counts as."""

    def end(self, refusal: Refusal) -> None:
        """End it with this error, wherever it waits."""


class Shared:
    """The state that calls have in common: connections, waiting requests, open streams."""

    __slots__ = (
        "anonymous_arrivals",
        "arrivals",
        "new_request_id",
        "patience",
        "peers",
        "streams",
        "unknown_counters",
    )

    def __init__(self, *, patience: float, arrival: float, clock: Callable[[], float]) -> None:
        """`patience` and `arrival` as PATIENCE and ARRIVAL_SECONDS; `clock` gives monotonic
        seconds."""
        self.patience = patience
        self.new_request_id = request_ids()
        self.peers = Peers(clock)
        self.arrivals = Arrivals(MOST_ARRIVING, arrival)
        self.anonymous_arrivals = Arrivals(MOST_ANONYMOUS_ARRIVING, arrival)
        self.streams: set[OpenStream] = set()
        self.unknown_counters = MethodCounters()
