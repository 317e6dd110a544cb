"""Times: aware datetimes and timedeltas for programs, seconds and messages on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, overload

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = -62_135_596_800
_LAST: Final = 253_402_300_799
_LONGEST: Final = 315_576_000_000


def moment(seconds: int, nanos: int = 0) -> datetime:
    """Give the time of so many Unix seconds, in UTC; beyond the years 1 to 9999 the nearest one."""
    return EPOCH + timedelta(
        seconds=min(max(seconds, _FIRST), _LAST), microseconds=nanos // 1_000 % 1_000_000
    )


def moment_of(timestamp: Timestamp) -> datetime:
    """Give the time that a message says."""
    return moment(timestamp.seconds, timestamp.nanos)


def span_of(duration: Duration) -> timedelta:
    """Give the time span that a message says; beyond 10,000 years the nearest one."""
    seconds = min(max(duration.seconds, -_LONGEST), _LONGEST)
    return timedelta(seconds=seconds, microseconds=int(duration.nanos / 1_000))


def check_moment(given: object, name: str) -> None:
    """Raise TypeError unless this is a time with a time zone, or None."""
    if given is not None and (not isinstance(given, datetime) or given.tzinfo is None):
        raise TypeError(f"{name} is a datetime with a time zone, such as datetime.now(UTC)")


def check_duration(given: object, name: str) -> None:
    """Raise TypeError unless this is a timedelta, or None: a number does not say its unit."""
    if given is not None and not isinstance(given, timedelta):
        raise TypeError(f"{name} is a timedelta, such as timedelta(minutes=5)")


@overload
def seconds_of(given: timedelta, name: str) -> float: ...
@overload
def seconds_of(given: timedelta | None, name: str) -> float | None: ...
def seconds_of(given: timedelta | None, name: str) -> float | None:
    """Give a duration in seconds, None of None. Raises TypeError for anything but a timedelta."""
    check_duration(given, name)
    return None if given is None else given.total_seconds()
