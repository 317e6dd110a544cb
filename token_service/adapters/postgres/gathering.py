"""Group commit: what arrives while a statement is under way shares the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from token_service.domain.errors import TokenServiceError, store_unavailable

Question = TypeVar("Question")
Answer = TypeVar("Answer")

MOST = 256
"""Questions to a statement."""

MOST_WAITING = 64 * MOST

PATIENCE = 0.1
"""How long questions wait for a statement under way before they get one of their own, in seconds:
longer than statements take, unless a row is locked."""


@dataclass(slots=True, eq=False)
class _Asked(Generic[Question, Answer]):
    question: Question
    answer: asyncio.Future[Answer] = field(default_factory=asyncio.Future)

    def succeed(self, answer: Answer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Gathering(Generic[Question, Answer]):
    """Answers questions, those of one kind together.

    `run` answers several questions of one kind in one transaction, in their order; when it raises
    anything but a TokenServiceError, nothing of it may have happened: each is then run alone.
    One statement is under way at a time, and up to `lanes` where one takes longer than `patience`
    seconds. A caller that goes away stops nothing.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
        kind_of: Callable[[Question], Hashable],
        *,
        lanes: int,
        most: int = MOST,
        patience: float = PATIENCE,
    ) -> None:
        self._run = run
        self._kind_of = kind_of
        self._lanes = lanes
        self._most = most
        self._patience = patience
        self._waiting: dict[Hashable, list[_Asked[Question, Answer]]] = {}
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._working = 0
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, question: Question) -> Answer:
        """The answer. Raises what `run` raised for it, and STORE_UNAVAILABLE when too many wait."""
        if self._count >= MOST_WAITING:
            raise store_unavailable()
        asked: _Asked[Question, Answer] = _Asked(question)
        self._waiting.setdefault(self._kind_of(question), []).append(asked)
        self._count += 1
        if self._working:
            self._start_later()
        else:
            self._start()
        return await asked.answer

    async def close(self) -> None:
        """Finish what was asked."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        if self._timer is not None:
            self._timer.cancel()

    def _start(self) -> None:
        if self._working >= self._lanes:
            return
        self._working += 1
        # In a context of its own: this caller's deadline is not the others'.
        task = asyncio.create_task(self._work(), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _start_later(self) -> None:
        """What is under way may be stuck, and must not hold up the rest while a lane is free."""
        if self._timer is None and self._working < self._lanes:
            self._timer = asyncio.get_running_loop().call_later(self._patience, self._start_now)

    def _start_now(self) -> None:
        self._timer = None
        if self._waiting:
            self._start()

    async def _work(self) -> None:
        try:
            alone = True
            while self._waiting and alone:
                await asyncio.sleep(0)  # who asks in the same turn of the loop comes along
                if not self._waiting:
                    return
                batch = self._next()
                try:
                    await self._settle(batch)
                finally:
                    # Whoever else is at it goes on with the rest: a statement for one costs nearly
                    # as much as one for many.
                    alone = self._working == 1
                    for asked in batch:  # only a stop of the whole process leaves any
                        asked.fail(store_unavailable())
        finally:
            # Here, and not once the task has ended: nobody may ask in between and be forgotten.
            self._working -= 1
            if self._waiting:
                self._start_later()

    def _next(self) -> list[_Asked[Question, Answer]]:
        """What waits longest, with what is of its kind."""
        kind, waiting = next(iter(self._waiting.items()))
        del self._waiting[kind]
        if len(waiting) > self._most:
            self._waiting[kind] = waiting[self._most :]  # behind the other kinds
            waiting = waiting[: self._most]
        self._count -= len(waiting)
        return waiting

    async def _settle(self, batch: Sequence[_Asked[Question, Answer]]) -> None:
        """Answer every question of `batch`, whatever happens to the others."""
        try:
            answers = await self._run([asked.question for asked in batch])
        except TokenServiceError as error:
            for asked in batch:
                asked.fail(
                    TokenServiceError(error.reason, error.message, retry_after=error.retry_after)
                )
        except Exception as error:  # noqa: BLE001 - a question that cannot be answered
            if len(batch) == 1:
                batch[0].fail(error)
                return
            for asked in batch:  # rolled back as a whole; alone, the others succeed
                await self._settle([asked])
        else:
            for asked, answer in zip(batch, answers, strict=True):
                asked.succeed(answer)
