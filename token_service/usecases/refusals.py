"""Refused attempts that change nothing: what the audit log keeps of them."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.ports import AttemptBucket, Attempts, Clock, Secrets
from tokenservice.core.bounded_cache import put_bounded

MOST_NOTED = 100
"""Refusals of one kind that are counted in a window; of these eleven leave a row."""
WINDOW = timedelta(minutes=15)
MAX_FULL = 10_000

TRACED = frozenset(
    {
        Reason.SELF_REVIEW,
        Reason.PERMISSION_MISSING,
        Reason.CREDENTIAL_NOT_ALLOWED,
    }
)
"""What somebody is told who tries to do what is not theirs to do."""

T = TypeVar("T")


class Refusals:
    """Writes the first and every tenth refusal of a kind into the audit log.

    Nothing is locked by them: when MOST_NOTED were counted, the row says so (`full=`), and no more
    are counted or written before the window ends. So nobody fills the log.
    """

    def __init__(self, attempts: Attempts, secrets: Secrets, clock: Clock) -> None:
        self._attempts = attempts
        self._secrets = secrets
        self._clock = clock
        self._full: dict[bytes, float] = {}

    async def trace(self, caller: Caller, action: str, target: str, work: Awaitable[T]) -> T:
        """The outcome of `work`; where it is refused for a reason of TRACED, that is noted."""
        try:
            return await work
        except TokenServiceError as error:
            if error.reason in TRACED:
                await self.note(caller, action, error.reason, target)
            raise

    async def note(
        self,
        caller: Caller,
        action: str,
        reason: Reason,
        target: str,
        *,
        by: str = "",
        details: str = "",
    ) -> None:
        """Count one refusal of this action, by the caller or what else is given. That must not be
        something of which attackers can invent as many as they like."""
        key = self._secrets.bucket("refused", action, by or caller.client_id)
        if self._clock.unix() < self._full.get(key, 0.0):
            return
        now = self._clock.now()
        bucket = AttemptBucket(
            key=key, limit=MOST_NOTED, window=WINDOW, lock=WINDOW, name="refusals", noted=True
        )
        audit = caller.audit(now, action, reason.value.lower(), target=target, details=details)
        wait = await self._attempts.reserve((bucket,), now, audit)
        if wait is not None:
            until = self._clock.unix() + wait.total_seconds()
            put_bounded(self._full, key, until, MAX_FULL)
