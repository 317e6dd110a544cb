"""Which failures mean that the store could not be asked or used, and which are ours.

A server says what is wrong by SQLSTATE: five characters, of which the first two are a class. What
it cannot do, as it is now, is never an answer to a caller; what it refuses because of the statement
itself is a mistake of ours.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from token_service.adapters.postgres.fencing import LogMovedError
from token_service.domain.errors import TokenServiceError, store_unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

T = TypeVar("T")

MAX_ATTEMPTS = 5

ROLLED_BACK = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""The server undid the transaction: the one kind of failure after which a write is repeated."""


ENDED = (asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError)
"""A connection ended, which may have been about to begin. That says nothing of the server."""


class MissingRowError(Exception):
    """A row that is always there is not: the database was never migrated, or restored in part."""


class PoolerError(ConnectionError):
    """A pooler was met that the configuration does not name."""


class UnconfirmedError(Exception):
    """A commit came back without having reached the standby: it is visible, and may be lost."""


class Failure(Enum):
    """What an exception says about the store."""

    TIMED_OUT = auto()
    """No answer in time; a write may or may not have happened."""
    LOST = auto()
    """No connection, or none to a primary; likewise."""
    FULL = auto()
    """The server takes no more connections; those that there are go on."""
    READ_ONLY = auto()
    """The server writes nothing; it may be a primary no more."""
    BUSY = auto()
    """The store answers, but not this statement."""
    UNUSABLE = auto()
    """The store answers, and cannot be used as it is: refused logins, missing tables or
    privileges, full disks, damaged data."""
    OURS = auto()
    """Not the store's fault: a mistake of the statement or its parameters."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What is wrong with the store, in words that hold no value, name or address of it; with the
    SQLSTATE where the server gave one."""

    text: str
    sqlstate: str = ""

    def __str__(self) -> str:
        return f"{self.text} (SQLSTATE {self.sqlstate})" if self.sqlstate else self.text


_POOLED = "prepared statements get lost: set TOKEN_SERVICE_POSTGRES_POOLER to the pooler's mode"

_KINDS: Mapping[str, tuple[Failure, str]] = {
    "08": (Failure.LOST, "the connection is lost"),
    "0A000": (Failure.UNUSABLE, "the schema was changed meanwhile"),
    "25006": (Failure.READ_ONLY, "the server is read-only"),
    "25P03": (Failure.LOST, "the server ended an idle transaction"),
    "26000": (Failure.UNUSABLE, _POOLED),
    "28": (Failure.UNUSABLE, "the login is refused (user, pg_hba.conf or certificate)"),
    "28P01": (Failure.UNUSABLE, "the password is refused"),
    "3D": (Failure.UNUSABLE, "there is no such database"),
    "3F": (Failure.UNUSABLE, "there is no such schema"),
    "42501": (Failure.UNUSABLE, "the user lacks a privilege"),
    "42703": (Failure.UNUSABLE, "a column is missing: is the database migrated?"),
    "42704": (Failure.UNUSABLE, "a type or setting is missing"),
    "42804": (Failure.UNUSABLE, "a column has another type: was it migrated by something else?"),
    "42846": (Failure.UNUSABLE, "a column has another type: was it migrated by something else?"),
    "42883": (Failure.UNUSABLE, "a function is missing, or a column has another type"),
    "42P01": (Failure.UNUSABLE, "a table is missing: is the database migrated?"),
    "42P05": (Failure.UNUSABLE, _POOLED),
    "42P10": (Failure.UNUSABLE, "a constraint is missing: is a backup being restored?"),
    "53": (Failure.UNUSABLE, "the server lacks resources"),
    "53100": (Failure.UNUSABLE, "the server's disk is full"),
    "53200": (Failure.UNUSABLE, "the server is out of memory"),
    "53300": (Failure.FULL, "the server has no connection slots left"),
    "53400": (Failure.UNUSABLE, "a limit of the server's configuration is exceeded"),
    "55": (Failure.UNUSABLE, "the database takes no connections, or a part of it is not usable"),
    "55P03": (Failure.BUSY, "a row or table stays locked"),
    "57": (Failure.BUSY, "an operator or a limit of the server interfered"),
    "57014": (Failure.BUSY, "the server cancelled a statement: its time limit, or an operator"),
    "57P01": (Failure.LOST, "the server ended the connection"),
    "57P02": (Failure.LOST, "the server crashed"),
    "57P03": (Failure.LOST, "the server is starting, stopping or recovering"),
    "57P04": (Failure.LOST, "the database was dropped"),
    "57P05": (Failure.LOST, "the server ended an idle connection"),
    "58": (Failure.UNUSABLE, "the server's system failed (file or device)"),
    "F0": (Failure.UNUSABLE, "the server's configuration file is wrong"),
    "XX": (Failure.UNUSABLE, "the server failed inside"),
    "XX001": (Failure.UNUSABLE, "data of the database is damaged"),
    "XX002": (Failure.UNUSABLE, "an index of the database is damaged"),
}
"""By SQLSTATE, or by its class. Whatever is not here is ours."""

_OTHER_TYPE = (
    Failure.UNUSABLE,
    Cause("a column has another type: was it migrated by something else?"),
)
_BY_TYPE: tuple[tuple[type[BaseException], tuple[Failure, Cause]], ...] = (
    (
        TimeoutError,
        (
            Failure.TIMED_OUT,
            Cause("no answer in time: a lock, a standby that commits wait for, or a silent server"),
        ),
    ),
    (
        PoolerError,
        (Failure.UNUSABLE, Cause("a pooler is in between: set TOKEN_SERVICE_POSTGRES_POOLER")),
    ),
    (
        UnconfirmedError,
        (Failure.BUSY, Cause("an operator ended a commit's wait for its standby")),
    ),
    (
        ssl.SSLCertVerificationError,
        (Failure.LOST, Cause("the server's certificate is not accepted")),
    ),
    (ssl.SSLError, (Failure.LOST, Cause("the TLS handshake fails"))),
    (socket.gaierror, (Failure.LOST, Cause("the server's name is not found"))),
    (ConnectionRefusedError, (Failure.LOST, Cause("no server listens there"))),
    (FileNotFoundError, (Failure.LOST, Cause("there is no such socket"))),
    (PermissionError, (Failure.LOST, Cause("the socket may not be used"))),
    (OSError, (Failure.LOST, Cause("the server cannot be reached"))),
    (
        asyncpg.TargetServerAttributeNotMatched,
        (Failure.LOST, Cause("the server is a standby, the primary is needed")),
    ),
    (
        asyncpg.OutdatedSchemaCacheError,
        (Failure.UNUSABLE, Cause("the schema was changed meanwhile")),
    ),
)
"""The first that fits: all of these but the last two are OSErrors."""

_NO_TLS = "rejected SSL upgrade"
"""What the driver says where the address demands TLS."""

LOCKED = Cause("a row stays locked")
BUSY = Cause("all connections of this process are in use")

_FULL_POOLER = "no more connections allowed"
"""What pgbouncer says beside 08P01."""


def classify(error: BaseException, *, closed: bool = False) -> Failure:
    """The kind of `error`; `closed` when its connection is gone."""
    return _judge(error, closed=closed)[0]


def cause_of(error: BaseException) -> Cause:
    """What is wrong, for the log and for whoever starts a server: of a refusal, what led to it."""
    while isinstance(error, TokenServiceError) and error.__cause__ is not None:
        error = error.__cause__
    inner = error.__cause__  # the server's last word on a connection that it ended
    if isinstance(error, asyncpg.PostgresConnectionError) and isinstance(
        inner, asyncpg.PostgresError
    ):
        error = inner
    return _judge(error, closed=True)[1]


def _judge(error: BaseException, *, closed: bool) -> tuple[Failure, Cause]:
    if isinstance(error, asyncpg.DataError) and isinstance(error.__cause__, TypeError):
        return _OTHER_TYPE  # the driver goes by the types that the server has told it
    if isinstance(error, asyncpg.PostgresError):
        return _by_sqlstate(error)
    if isinstance(error, ConnectionError) and _NO_TLS in str(error):
        return Failure.LOST, Cause("the server offers no TLS, which sslmode demands")
    for kind, judgement in _BY_TYPE:
        if isinstance(error, kind):
            return judgement
    if isinstance(error, MissingRowError):
        return Failure.UNUSABLE, Cause(str(error))
    if closed and isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Failure.LOST, Cause("the connection is lost")
    if isinstance(error, TokenServiceError):
        return Failure.OURS, Cause(error.message)
    return Failure.OURS, Cause(f"an error of this program ({type(error).__name__})")


def _by_sqlstate(error: asyncpg.PostgresError) -> tuple[Failure, Cause]:
    sqlstate = error.sqlstate or ""
    if sqlstate == asyncpg.ProtocolViolationError.sqlstate and _FULL_POOLER in str(error):
        return Failure.FULL, Cause("the pooler takes no more connections", sqlstate)
    known = _KINDS.get(sqlstate) or _KINDS.get(sqlstate[:2])
    if known is None:
        return Failure.OURS, Cause(f"a statement is refused ({type(error).__name__})", sqlstate)
    return known[0], Cause(known[1], sqlstate)


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
