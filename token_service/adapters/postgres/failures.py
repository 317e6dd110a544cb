"""Which failures mean that the store could not be asked, and which are ours."""

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import TypeVar

import asyncpg

from token_service.adapters.postgres.fencing import LogMovedError
from token_service.domain.errors import store_unavailable

T = TypeVar("T")

MAX_ATTEMPTS = 5

ROLLED_BACK = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""The server undid the transaction: the one kind of failure after which a write is repeated."""

_LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DatabaseDroppedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TargetServerAttributeNotMatched,
)
_BUSY = (
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.LockNotAvailableError,
)


class Failure(Enum):
    """What an exception says about the store."""

    TIMED_OUT = auto()
    """No answer in time; a write may or may not have happened."""
    LOST = auto()
    """No connection, or none to a writable primary; likewise."""
    BUSY = auto()
    """The store answers, but not this statement."""
    OURS = auto()
    """Not the store's fault: a mistake of the statement or its parameters."""


def classify(error: BaseException, *, closed: bool = False) -> Failure:
    """The kind of `error`; `closed` when its connection is gone."""
    if isinstance(error, TimeoutError):
        return Failure.TIMED_OUT
    if isinstance(error, _LOST):
        return Failure.LOST
    if isinstance(error, _BUSY):
        return Failure.BUSY
    if closed and isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Failure.LOST
    return Failure.OURS


async def retry_deadlock(operation: Callable[[], Awaitable[T]], attempts: int = MAX_ATTEMPTS) -> T:
    """Run a whole transaction, again when the server undid it because of a deadlock, or when the
    trust log has moved, which this node has then heard of.

    Raises STORE_UNAVAILABLE when that happens `attempts` times in a row.
    """
    for _ in range(attempts - 1):
        try:
            return await operation()
        except ROLLED_BACK:
            continue
        except LogMovedError as moved:
            if moved.renew is None:
                raise
            await moved.renew()
    try:
        return await operation()
    except ROLLED_BACK as error:
        raise store_unavailable() from error
