"""Questions that only the server can answer, gathered into few calls.

Nobody waits for others to come: when no call is under way, what was asked in one turn of the
event loop goes out at once. While calls are under way, questions gather, and go out together in
the next one. So the number of calls is bounded, however many tokens are made up.

Made-up tokens cannot be told from good ones before the server has said so, but tokens of
sessions that were seen to be good lately can: those have a queue of their own that is served
first, and a share of it for each session, so that a flood of the others delays new logins alone.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tokenservice._decisions.events import ValidatorEvents
from tokenservice._errors import TokenServiceError
from tokenservice._validator.holds import Holds, is_of_one, reason_of
from tokenservice._validator.outages import Outages
from tokenservice.core.limits import MAX_QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

    from tokenservice.v1 import token_service_pb2 as pb

    Call = Callable[[Sequence[pb.ValidateRequest]], Awaitable[Sequence[pb.ValidateResponse]]]

MAX_BATCH: Final = MAX_QUESTIONS
MAX_CALLS: Final = 4
MAX_WAITING: Final = 4_096
"""In each of the two queues."""
MAX_PER_SESSION: Final = 8
"""Questions about tokens that name one session, in the queue of the known."""
KNOWN_SHARE: Final = 192
"""So many of a batch are for the known when others wait too."""


class Unanswered(Exception):  # noqa: N818 - a condition, not a fault
    """There is no answer; ``reason`` is that of the decision."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Question:
    __slots__ = ("alone", "answer", "asked_at", "request", "session")

    def __init__(
        self,
        request: pb.ValidateRequest,
        answer: asyncio.Future[pb.ValidateResponse],
        asked_at: float,
        session: str,
        *,
        alone: bool,
    ) -> None:
        self.request = request
        self.answer = answer
        self.asked_at = asked_at
        self.session = session
        self.alone = alone


class RemoteValidation:
    """Asks the server; ``call`` sends up to ``MAX_BATCH`` questions and raises TokenServiceError.

    ``timeout`` is how long a question may wait before it is sent, in seconds; ``call`` has a
    deadline of its own. Tests give clock (monotonic seconds) and randomness ([0, 1)).
    """

    def __init__(
        self,
        call: Call,
        *,
        timeout: float = 1.0,
        max_calls: int = MAX_CALLS,
        outages: Outages | None = None,
        events: ValidatorEvents | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._call = call
        self._timeout = timeout
        self._max_calls = max_calls
        self._clock = clock
        self._open: dict[Hashable, asyncio.Future[pb.ValidateResponse]] = {}
        self._known: deque[_Question] = deque()
        self._unknown: deque[_Question] = deque()
        self._sessions: Counter[str] = Counter()
        self._calls: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._closed = False
        self._holds = Holds(clock, random)
        self._outages = outages or Outages()
        self._events = events or ValidatorEvents()

    async def ask(
        self, key: Hashable, request: pb.ValidateRequest, *, session: str = "", alone: bool = False
    ) -> pb.ValidateResponse:
        """Ask, or wait for the answer if ``key`` was asked already and is not answered yet.

        ``session`` is the known session that the token names, "" if it names none; ``alone`` is
        for a question that may spoil a batch. Raises Unanswered. A caller that gives up does not
        disturb the others.
        """
        answer = self._open.get(key)
        if answer is None:
            answer = self._enqueue(key, request, session, alone=alone)
        return await asyncio.shield(answer)

    async def close(self) -> None:
        """Refuse what is open and end the calls."""
        self._closed = True
        for task in tuple(self._calls):
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        for queue in (self._known, self._unknown):
            for one in queue:
                _refuse(one, "closed")
            queue.clear()

    def _enqueue(
        self, key: Hashable, request: pb.ValidateRequest, session: str, *, alone: bool
    ) -> asyncio.Future[pb.ValidateResponse]:
        now = self._clock()
        if self._closed:
            raise Unanswered("closed")
        held = self._holds.reason(request.audience)
        if held:
            raise Unanswered(held)
        if session and self._sessions[session] >= MAX_PER_SESSION:
            session = ""
        queue = self._known if session else self._unknown
        if len(queue) >= MAX_WAITING:
            raise Unanswered("overloaded")
        answer = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: self._answered(key, session, done))
        self._open[key] = answer
        if session:
            self._sessions[session] += 1
        queue.append(_Question(request, answer, now, session, alone=alone))
        self._schedule()
        return answer

    def _answered(
        self, key: Hashable, session: str, answer: asyncio.Future[pb.ValidateResponse]
    ) -> None:
        del self._open[key]
        if session:
            self._sessions[session] -= 1
            if not self._sessions[session]:
                del self._sessions[session]
        if not answer.cancelled():
            answer.exception()  # whoever asked may have given up: nobody need read it

    def _schedule(self) -> None:
        if not self._scheduled and len(self._calls) < self._max_calls:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._scheduled = False
        while len(self._calls) < self._max_calls and not self._closed:
            batch = self._next_batch()
            if not batch:
                return
            task = asyncio.create_task(self._run(batch))
            self._calls.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        if not self._closed:
            self._send()

    def _next_batch(self) -> list[_Question]:
        now = self._clock()
        batch: list[_Question] = []
        share = KNOWN_SHARE if self._unknown else MAX_BATCH
        for queue, most in (
            (self._known, share),
            (self._unknown, MAX_BATCH),
            (self._known, MAX_BATCH),
        ):
            while queue and len(batch) < most:
                one = queue[0]
                late = "overloaded" if one.asked_at < now - self._timeout else ""
                refused = self._holds.reason(one.request.audience) or late
                if refused:
                    _refuse(queue.popleft(), refused)
                    continue
                if one.alone and batch:
                    return batch
                batch.append(queue.popleft())
                if one.alone:
                    return batch
        return batch

    async def _run(self, batch: list[_Question]) -> None:
        started, reason, again = self._clock(), "closed", False
        try:
            answers = await self._call([one.request for one in batch])
            reason = "" if len(answers) == len(batch) else "unintelligible"
            self._answered_all(batch, answers)
        except TokenServiceError as error:
            reason = reason_of(error)
            again = len(batch) > 1 and is_of_one(error)
            if again:
                self._ask_again(batch)
            else:
                self._failed(batch[0].request.audience, error)
        finally:
            if reason and not again:
                for one in batch:
                    _refuse(one, reason)
            took = timedelta(seconds=self._clock() - started)
            self._events.asked(len(batch), took, reason)

    def _answered_all(self, batch: list[_Question], answers: Sequence[pb.ValidateResponse]) -> None:
        self._holds.succeeded(one.request.audience for one in batch)
        self._outages.answered(one.request.audience for one in batch)
        if len(answers) != len(batch):
            return
        for one, answer in zip(batch, answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)

    def _failed(self, audience: str, error: TokenServiceError) -> None:
        if self._holds.failed(error, audience):
            self._outages.unanswered("" if not is_of_one(error) else audience, error)

    def _ask_again(self, batch: list[_Question]) -> None:
        """One of them spoilt the batch: each goes alone now, before all others."""
        for one in reversed(batch):
            one.alone = True
            (self._known if one.session else self._unknown).appendleft(one)
        self._schedule()


def _refuse(one: _Question, reason: str) -> None:
    if not one.answer.done():
        one.answer.set_exception(Unanswered(reason))
