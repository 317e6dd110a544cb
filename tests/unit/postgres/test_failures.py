"""What an exception of the driver says about the store."""

import asyncpg
import pytest

from token_service.adapters.postgres.failures import Failure, classify, retry_deadlock
from token_service.domain.errors import Reason, TokenServiceError


@pytest.mark.parametrize(
    ("error", "closed", "failure"),
    [
        (TimeoutError(), False, Failure.TIMED_OUT),
        (TimeoutError(), True, Failure.TIMED_OUT),
        (ConnectionRefusedError(), False, Failure.LOST),
        (FileNotFoundError(), False, Failure.LOST),  # the socket of a server that is not there
        (asyncpg.ConnectionDoesNotExistError(), True, Failure.LOST),
        (asyncpg.CannotConnectNowError(), False, Failure.LOST),
        (asyncpg.AdminShutdownError(), False, Failure.LOST),
        (asyncpg.TooManyConnectionsError(), False, Failure.FULL),
        (asyncpg.ReadOnlySQLTransactionError(), False, Failure.READ_ONLY),
        (asyncpg.ProtocolViolationError("no more connections allowed"), False, Failure.FULL),
        (asyncpg.ProtocolViolationError("unexpected message"), False, Failure.LOST),
        (asyncpg.TargetServerAttributeNotMatched(), False, Failure.LOST),
        (asyncpg.InterfaceError("connection is closed"), True, Failure.LOST),
        (asyncpg.InterfaceError("wrong use"), False, Failure.OURS),
        (asyncpg.QueryCanceledError(), False, Failure.BUSY),
        (asyncpg.DiskFullError(), False, Failure.UNUSABLE),
        (asyncpg.OutOfMemoryError(), False, Failure.UNUSABLE),
        (asyncpg.ConfigurationLimitExceededError(), False, Failure.UNUSABLE),
        (asyncpg.InvalidPasswordError(), False, Failure.UNUSABLE),
        (asyncpg.InvalidAuthorizationSpecificationError(), False, Failure.UNUSABLE),
        (asyncpg.InvalidCatalogNameError(), False, Failure.UNUSABLE),
        (asyncpg.InvalidSchemaNameError(), False, Failure.UNUSABLE),
        (asyncpg.InsufficientPrivilegeError(), False, Failure.UNUSABLE),
        (asyncpg.UndefinedTableError(), False, Failure.UNUSABLE),
        (asyncpg.UndefinedColumnError(), False, Failure.UNUSABLE),
        (asyncpg.InvalidColumnReferenceError(), False, Failure.UNUSABLE),
        (asyncpg.UndefinedFunctionError(), False, Failure.UNUSABLE),
        (asyncpg.DatatypeMismatchError(), False, Failure.UNUSABLE),
        (asyncpg.InvalidCachedStatementError(), False, Failure.UNUSABLE),
        (asyncpg.OutdatedSchemaCacheError("types"), False, Failure.UNUSABLE),
        (asyncpg.DataCorruptedError(), False, Failure.UNUSABLE),
        (asyncpg.IndexCorruptedError(), False, Failure.UNUSABLE),
        (asyncpg.InternalServerError(), False, Failure.UNUSABLE),
        (asyncpg.PostgresSyntaxError(), False, Failure.OURS),
        (asyncpg.DataError(), False, Failure.OURS),
        (asyncpg.UndefinedParameterError(), False, Failure.OURS),
        (asyncpg.LockNotAvailableError(), False, Failure.BUSY),
        (asyncpg.DeadlockDetectedError(), False, Failure.OURS),
        (asyncpg.UniqueViolationError(), False, Failure.OURS),
        (asyncpg.UniqueViolationError(), True, Failure.OURS),
        (TokenServiceError(Reason.ROLE_NOT_FOUND, "no such role"), True, Failure.OURS),
        (KeyError("bug"), False, Failure.OURS),
    ],
)
def test_failures_are_told_apart(error: Exception, closed: bool, failure: Failure) -> None:
    assert classify(error, closed=closed) is failure


class Operation:
    """Fails as told, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def test_what_the_server_undid_is_done_again() -> None:
    operation = Operation(asyncpg.DeadlockDetectedError(), asyncpg.SerializationError())

    assert await retry_deadlock(operation) == "done"
    assert operation.calls == 3


async def test_endless_deadlocks_are_an_unavailable_store() -> None:
    operation = Operation(*(asyncpg.DeadlockDetectedError() for _ in range(9)))

    with pytest.raises(TokenServiceError) as refusal:
        await retry_deadlock(operation, attempts=4)

    assert refusal.value.reason is Reason.STORE_UNAVAILABLE
    assert operation.calls == 4


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError(),
        ConnectionResetError(),
        TokenServiceError(Reason.STORE_UNAVAILABLE, "unknown outcome"),
    ],
)
async def test_nothing_else_is_repeated(error: Exception) -> None:
    operation = Operation(error)

    with pytest.raises(type(error)):
        await retry_deadlock(operation)

    assert operation.calls == 1
