"""What every call passes through, wrapped once around each handler.

There is no chain of interceptors: the library hands over raw bytes, and one object per call does
the rest in order: stopping? room for more work? who calls, may they, how often? does the request
parse? then the handler, and at the end the status, the counters and the log line.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, cast

import grpc

from token_service.domain.ports import Durability
from token_service.rpc.admission import Admission, Gate
from token_service.rpc.calls.acknowledging import acknowledging
from token_service.rpc.calls.call import Call
from token_service.rpc.calls.routes import Route
from token_service.rpc.calls.shared import ARRIVAL_SECONDS, PATIENCE, Shared
from token_service.rpc.calls.streams import DialogueCall, StreamCall
from token_service.rpc.calls.unary import HotCall, UnaryCall, UnknownCall
from token_service.rpc.capacity import RateLimiter, WorkBound
from token_service.rpc.errors import shutting_down
from token_service.rpc.methods import Handler, Method, Shape, UnaryHandler
from token_service.rpc.metrics import Counts
from token_service.rpc.policy_table import METHODS, MethodPolicy, Rate, Work

BOUNDS: Mapping[Work, int] = {
    Work.UNARY: 1_000,
    Work.STREAM: 1_000,
    Work.PAIRING: 5_000,
    Work.PASSWORD: 64,
    Work.PROBE: 200,
    Work.PROBE_STREAM: 1_000,
}
"""Calls in flight by class, where the configuration does not say."""

PAUSES: Mapping[Work, timedelta] = {Work.PASSWORD: timedelta(seconds=1)}
"""What a refused call is told to wait at least, where that is longer than for any overload:
passwords take their time, and a crowd at the login would be refused over and over meanwhile."""


class Pipeline(grpc.GenericRpcHandler):
    """Answers the library's question of who handles a method, for all methods."""

    def __init__(
        self,
        gate: Gate,
        durability: Durability,
        *,
        policies: Mapping[str, MethodPolicy] = METHODS,
        bounds: Mapping[Work, int] = BOUNDS,
        rate_scale: float = 1.0,
        patience: float = PATIENCE,
        arrival: float = ARRIVAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gate = gate
        self._durability = durability
        self._policies = policies
        self._rate_scale = rate_scale
        self._clock = clock
        self.bounds = {work: WorkBound(limit, PAUSES.get(work)) for work, limit in bounds.items()}
        self.shared = Shared(patience=patience, arrival=arrival, clock=clock)
        self._routes: dict[str, tuple[type[Any], Route]] = {}

    def add(self, methods: Iterable[Method]) -> None:
        """Offer `methods`. Raises LookupError for one without a row in the policy table."""
        for method in methods:
            policy = self._policies.get(method.name)
            if policy is None:
                raise LookupError(f"{method.name} has no row in the policy table")
            admission = Admission(
                self._gate,
                policy,
                self._limiter(policy.rate),
                self._limiter(policy.anonymous_rate),
            )
            bound, handler = self.bounds[policy.work], self._handler(method, policy)
            route = Route(method, policy, admission, bound, handler)
            self._routes[method.name] = (_call_type(method.shape, hot=policy.hot), route)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401
        """The handler of one call; it has the call's metadata already."""
        found = self._routes.get(handler_call_details.method)
        metadata = handler_call_details.invocation_metadata
        if found is None:
            return UnknownCall(self.shared, metadata)
        return found[0](self.shared, found[1], metadata)

    def offered(self) -> frozenset[str]:
        """The full names of all methods that are served."""
        return frozenset(self._routes)

    def counts(self) -> Counts:
        """What was counted so far. The counters go on counting."""
        counters = {name: route.counters for name, (_, route) in self._routes.items()}
        active = {work.name.lower(): bound.active for work, bound in self.bounds.items()}
        return Counts({**counters, "unknown": self.shared.unknown_counters}, active)

    @property
    def largest_request(self) -> int:
        """The largest request in bytes that any method of the policy table takes."""
        return max(policy.max_bytes for policy in self._policies.values())

    def end_late(self) -> None:
        """End calls whose requests do not come."""
        self.shared.arrivals.end_late()
        self.shared.anonymous_arrivals.end_late()

    @property
    def busy(self) -> bool:
        """Whether any call is in flight."""
        return any(bound.active for bound in self.bounds.values())

    def stop(self, *classes: Work) -> None:
        """From now on refuse new calls of these classes, and end their streams."""
        for work in classes:
            self.bounds[work].close()
        for stream in tuple(self.shared.streams):
            if stream.work in classes:
                stream.end(shutting_down)

    def _handler(self, method: Method, policy: MethodPolicy) -> Handler:
        if method.shape is Shape.UNARY and policy.acknowledges:
            return acknowledging(cast("UnaryHandler", method.handler), self._durability)
        return method.handler

    def _limiter(self, rate: Rate) -> RateLimiter:
        scaled = Rate(
            rate.per_second * self._rate_scale, max(1, int(rate.burst * self._rate_scale))
        )
        return RateLimiter(scaled, self._clock)


def _call_type(shape: Shape, *, hot: bool) -> type[Call]:
    """How calls of a method are run."""
    if shape is Shape.UNARY:
        return HotCall if hot else UnaryCall
    return StreamCall if shape is Shape.STREAM else DialogueCall
