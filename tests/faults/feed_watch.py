"""A gateway under observation: one token shown to a local validator over and over."""

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.waiting import until
from tokenservice import Decision, OnStale, Validator
from tokenservice.core import Verdict

PAUSE = 0.005
"""Between two questions, in seconds."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One question and its answer; times by the monotonic clock, in seconds."""

    asked_at: float
    answered_at: float
    decision: Decision


class Showing:
    """Shows a token until it is left; all answers are in `answers`."""

    def __init__(self, validator: Validator, token: str, on_stale: OnStale = "ask") -> None:
        self._validator = validator
        self._token = token
        self._on_stale: OnStale = on_stale
        self.answers: list[Shown] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._show())
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _show(self) -> None:
        while True:
            asked_at = time.monotonic()
            decision = await self._validator.validate(
                self._token, audience="orders", on_stale=self._on_stale
            )
            self.answers.append(Shown(asked_at, time.monotonic(), decision))
            await asyncio.sleep(PAUSE)

    def verdicts(self, since: float = 0.0) -> set[Verdict]:
        """All verdicts of questions asked from then on."""
        return {one.decision.verdict for one in self.answers if one.asked_at >= since}

    def reasons(self) -> set[str]:
        """Why questions were not answered."""
        return {one.decision.reason for one in self.answers if not one.decision.answered}

    async def until(self, verdict: Verdict) -> None:
        """Wait for such an answer to a question asked from now on."""
        started = time.monotonic()
        await until(lambda: verdict in self.verdicts(started))

    def accepted_late(self, revoked_at: float, limit: float) -> list[float]:
        """By how many seconds the promise was broken, for each time that it was."""
        return [
            one.asked_at - revoked_at - limit
            for one in self.answers
            if one.decision.active and one.asked_at > revoked_at + limit
        ]
