"""Answers that a failover must not prove wrong: given only once what they rest on is safe."""

from typing import Any

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.ports import Durability
from token_service.rpc.methods import Reply, UnaryHandler

_NO_ANSWERS = frozenset(
    {
        Reason.CALLER_UNAUTHENTICATED,
        Reason.PERMISSION_MISSING,
        Reason.FIELD_INVALID,
        Reason.RATE_LIMITED,
        Reason.OVERLOADED,
        Reason.STORE_UNAVAILABLE,
        Reason.TRUST_STALE,
        Reason.SHUTTING_DOWN,
        Reason.DEADLINE_EXCEEDED,
        Reason.INTERNAL,
    }
)
"""Refusals that say nothing of what the stores hold."""


def acknowledging(handler: UnaryHandler, port: Durability) -> UnaryHandler:
    """The same handler, whose answer waits for the standby.

    "Done already" is said of what may have been seen too early: a commit that has not reached the
    standby. Success is therefore told only after a commit of the call's own, or else after one
    that is made for it now; and a refusal that rests on a reading likewise ("the name is taken",
    "the session is revoked"). Raises STORE_UNAVAILABLE instead of an answer that may be lost.
    """

    async def answer(caller: Caller, request: Any) -> Reply:  # noqa: ANN401 - the method's message
        basis = port.begin()
        try:
            reply = await handler(caller, request)
        except TokenServiceError as error:
            if basis.has_read and error.reason not in _NO_ANSWERS:
                await port.settle(basis.epoch)
            raise
        if not basis.committed:
            await port.settle(basis.epoch)
        return reply

    return answer
