"""Guessable attempts: counted, and locked when there are too many."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from token_service.domain.audit import AuditEvent


@dataclass(frozen=True, slots=True)
class Standing:
    """How some buckets stand: locked for `wait`, or open; `failed_before` when there is something
    to clear after a success.
    """

    wait: timedelta | None
    failed_before: bool


class Attempts(Protocol):
    """Guessable attempts, counted in Postgres.

    A login asks how its buckets stand before the password is looked at, counts a failure, and
    asks again before a success is redeemed: whoever races a lock with right and wrong guesses
    alike finds it closed. (Counting before the check would turn away honest logins in parallel.)
    """

    async def standing(self, buckets: Sequence["AttemptBucket"], now: datetime) -> Standing:
        """How the buckets stand; counts nothing."""
        ...

    async def reserve(
        self,
        buckets: Sequence["AttemptBucket"],
        now: datetime,
        audit: AuditEvent | None = None,
    ) -> timedelta | None:
        """Count one attempt in each bucket, committed; when one is (or becomes) locked, the time
        until it opens again, and no attempt may be made.

        `audit` is written with the count where that is worth a row: the first and every tenth, up
        to a hundred in a window, in a bucket that is `noted`, and what fills any bucket. Its
        details then end with the counts by the buckets' names."""
        ...

    async def locks(self, prefix: bytes, now: datetime) -> "LoginLocks":
        """What was counted in the bucket `prefix` and in those whose keys begin with it."""
        ...

    async def clear(self, buckets: Sequence["AttemptBucket"]) -> None:
        """The attempt was good: give it back (its own bucket is emptied when `reset`)."""
        ...

    async def unlock(self, prefix: bytes, audit: AuditEvent) -> None:
        """Forget every bucket whose key begins with `prefix`; writes the audit row with it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptBucket:
    """`key` is a keyed hash; at most `limit` failures per `window`, then locked for `lock`.

    Buckets that are unlocked together have keys with a common prefix. `name` is what audit rows
    call it; `noted` ones leave a row now and then before they are full.
    """

    key: bytes
    limit: int
    window: timedelta
    lock: timedelta
    reset: bool = True
    name: str = "attempts"
    noted: bool = False


@dataclass(frozen=True, slots=True)
class LoginLocks:
    """Failed logins of one user: how many from anywhere, until when nobody is let in as the user,
    and how many addresses are kept out for this user alone, the last of them until when."""

    failures: int = 0
    locked_until: datetime | None = None
    locked_addresses: int = 0
    addresses_locked_until: datetime | None = None
