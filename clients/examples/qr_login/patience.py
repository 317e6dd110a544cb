"""Tells a service that takes its time from one that does not answer, within a second."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    Ask = Callable[[float], Awaitable[bool]]

Result = TypeVar("Result")

SECONDS: Final = 0.4
"""How long to wait before the service is asked whether it is there, and then for its answer."""


class NoAnswer(Exception):  # noqa: N818 - a condition, not a fault
    """The service does not answer. Whether what was asked took effect is not known."""


class Patience:
    """Waits for work as long as the service answers at all.

    ``ask`` puts a small question to it, and gives whether an answer came within so many seconds.
    A password is slow to check: that alone must not read as an outage.
    """

    def __init__(self, ask: Ask, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._ask = ask
        self._question: asyncio.Task[bool] | None = None
        self._asked_at = 0.0

    async def wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Give what the work gives. Raises NoAnswer, once it has ended the work."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task}, timeout=self.seconds)
            while not task.done():
                await self._while_it_answers(task)
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def answers(self) -> bool:
        """Whether the service answers. One question is put for all who ask about the same time."""
        now = asyncio.get_running_loop().time()
        if self._question is None or now >= self._asked_at + self.seconds:
            self._asked_at = now
            self._question = asyncio.ensure_future(self._ask(self.seconds))
        return await asyncio.shield(self._question)

    async def _while_it_answers(self, task: asyncio.Task[Result]) -> None:
        question = asyncio.ensure_future(self.answers())
        await asyncio.wait({task, question}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            if not question.result():
                raise NoAnswer
            await asyncio.wait({task}, timeout=self.seconds)
            return
        question.cancel()
        with suppress(asyncio.CancelledError):
            await question
