"""A method as its calls need it."""

from functools import partial
from typing import Any

import structlog

from token_service.domain.errors import Reason
from token_service.rpc.admission import Admission
from token_service.rpc.capacity import Crowd, WorkBound
from token_service.rpc.errors import RefusedAtTheDoor, no_health_to_watch
from token_service.rpc.methods import Handler, Method
from token_service.rpc.metrics import MethodCounters
from token_service.rpc.policy_table import MethodPolicy

_log = structlog.get_logger(__name__)

_AT_THE_DOOR = (Reason.OVERLOADED, Reason.RATE_LIMITED, Reason.CALLER_UNAUTHENTICATED)


class Route:
    """One method with all that its calls need, looked up once."""

    __slots__ = (
        "abandoned",
        "admission",
        "audited",
        "bound",
        "counters",
        "handler",
        "longest",
        "max_bytes",
        "name",
        "parse",
        "refused",
        "told",
        "work",
    )

    def __init__(
        self,
        method: Method,
        policy: MethodPolicy,
        admission: Admission,
        bound: WorkBound,
        handler: Handler,
    ) -> None:
        self.name = method.name
        self.max_bytes = policy.max_bytes
        self.work = policy.work
        self.longest = policy.default_deadline or None
        self.admission = admission
        self.audited = policy.audited
        self.bound = bound
        self.told = _told_to_watchers if policy.dispensable else _as_it_is
        self.refused = {
            reason: Crowd(partial(self._report_refused, reason)) for reason in _AT_THE_DOOR
        }
        self.abandoned = Crowd(self._report_abandoned)
        self.counters = MethodCounters()
        self.handler: Any = handler
        self.parse = method.request.FromString

    def _report_refused(self, reason: Reason, calls: int) -> None:
        _log.info("calls_refused", method=self.name, reason=reason.value, calls=calls)

    def _report_abandoned(self, calls: int) -> None:
        _log.info("calls_abandoned", method=self.name, calls=calls)


def _as_it_is(error: BaseException) -> BaseException:
    return error


def _told_to_watchers(error: BaseException) -> BaseException:
    """What is told of `error` where whoever finds no room is better off without the call."""
    return no_health_to_watch() if isinstance(error, RefusedAtTheDoor) else error
