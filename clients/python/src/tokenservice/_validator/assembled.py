"""What every validator does, whatever its parts are; see :class:`tokenservice.Validator`."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Self

from tokenservice._decisions.decision import Decision, unanswered
from tokenservice._decisions.local_validator import digest_of
from tokenservice._times import seconds_of
from tokenservice._validator.answers import decision_of, max_age_of, question
from tokenservice._validator.remote import Unanswered
from tokenservice.core import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from tokenservice._decisions.activity import ActivityReporter
    from tokenservice._decisions.decision import OnStale
    from tokenservice._decisions.events import ValidatorEvents
    from tokenservice._decisions.local_validator import LocalValidator
    from tokenservice._validator.follower import TrustFollower
    from tokenservice._validator.remote import RemoteValidation
    from tokenservice.core import Requirement

UPKEEP_SECONDS: Final = 1.0
BREATH_SECONDS: Final = 0.01
"""Between the parts of a round in which there is much to let go of."""
FEED_SECONDS: Final = 0.05
"""How long a revision is waited for before the server is asked: as a rule the feed brings it within
this time, to all who wait for it, and costs the server nothing."""
LAST_REPORT_SECONDS: Final = 1.0
"""How long closing waits for the last report of activity."""

_UNAUTHENTIC: Final = frozenset(
    {Verdict.UNKNOWN, Verdict.MALFORMED, Verdict.WRONG_KIND, Verdict.REVOKED}
)
"""What the server may answer without having checked the token."""

_log = logging.getLogger("tokenservice.validator")


class AssembledValidator:
    """A validator made of parts; :class:`tokenservice.Validator` is the usual one.

    ``events`` hears of all decisions; what the parts tell, they are made with. Without ``remote``
    nobody can be asked, without ``follower`` whoever holds ``local`` keeps its view of the trust
    log: that suffices for tests.
    """

    def __init__(
        self,
        local: LocalValidator,
        remote: RemoteValidation | None = None,
        *,
        follower: TrustFollower | None = None,
        reporter: ActivityReporter | None = None,
        events: ValidatorEvents | None = None,
    ) -> None:
        self.local = local
        self._remote = remote
        self._follower = follower
        self._reporter = reporter
        self._tasks: list[asyncio.Task[None]] = []
        self._keys: dict[str, asyncio.Future[None]] = {}
        self._decided = None if events is None else events.decided
        self.try_local = local.try_local if events is None else _telling(local, events)
        """Decide in this process, or not at all; any thread may. See :class:`LocalValidator`."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Follow the trust feed from now on, on this event loop. Entering the context does it."""
        if self._tasks:
            raise RuntimeError("the validator was started already")
        self._run(self._upkeep())
        if self._follower is not None:
            self._run(self._follower.run())
        if self._reporter is not None:
            self._run(self._reporter.run())

    async def close(self) -> None:
        """Stop following, report the last activity, refuse what is open. May be called again."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._remote is not None:
            await self._remote.close()
        if self._reporter is not None and tasks:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_REPORT_SECONDS):
                    await self._reporter.flush()

    @property
    def revision(self) -> int:
        """Revision of the trust log up to which this validator knows it."""
        return self.local.revision

    @property
    def fresh(self) -> bool:
        """Whether decisions are made here at this moment."""
        return self.local.fresh

    @property
    def view_age(self) -> timedelta:
        """Time since the server read the trust log as it is known here: a gauge for metrics.
        Above ``staleness_limit`` every token is asked about; ``timedelta.max`` before the first
        view."""
        age = self.local.view_age
        return timedelta(seconds=age) if isfinite(age) else timedelta.max

    async def wait_ready(self, timeout: timedelta) -> bool:
        """Wait up to ``timeout`` for the first view of the trust log.

        Until then, and when this returns False, every token is asked about.
        """
        if self._follower is None:
            return self.fresh
        try:
            async with asyncio.timeout(seconds_of(timeout, "timeout")):
                await self._follower.ready.wait()
        except TimeoutError:
            return False
        return True

    async def validate(
        self,
        token: str,
        *,
        audience: str,
        scopes: Collection[str] = (),
        max_auth_age: timedelta | None = None,
        acr: str = "",
        confirmation: bytes = b"",
        min_revision: int = 0,
        on_stale: OnStale = "ask",
    ) -> Decision:
        """See :meth:`tokenservice.Validates.validate`."""
        decision = self.try_local(
            token, audience, scopes, max_auth_age, acr, confirmation, min_revision
        )
        if decision is not None:
            return decision
        requirement = self.local.requirement(audience, scopes, max_auth_age, acr, confirmation)
        return await self.ask(token, requirement, min_revision, on_stale)

    async def ask(
        self, token: str, requirement: Requirement, min_revision: int, on_stale: OnStale
    ) -> Decision:
        """Have the server decide, for a token about which nothing can be decided here."""
        decision = await self._ask(token, requirement, min_revision, on_stale)
        if self._decided is not None:
            self._decided(decision)
        return decision

    async def _ask(
        self, token: str, requirement: Requirement, min_revision: int, on_stale: OnStale
    ) -> Decision:
        local = self.local
        news = min_revision > local.revision and await self._reached(min_revision)
        keys = local.unknown_keys
        kid = keys.asked_by(token, local.trust) if keys is not None else ""
        asked = self._keys.get(kid) if kid else None
        if asked is not None:  # one question about a key is enough: the others wait for its answer
            await asyncio.wait((asked,))
        if news or asked is not None:
            decision = local.judge(token, requirement, min_revision)
            if decision is not None:
                return decision
        if keys is None or not kid or asked is not None:
            return await self._question(token, requirement, min_revision, on_stale)
        self._keys[kid] = answered = asyncio.get_running_loop().create_future()
        known: bool | None = None
        try:
            decision = await self._question(token, requirement, min_revision, on_stale)
            known = decision.verdict not in _UNAUTHENTIC if decision.answered else None
        finally:
            keys.answered(kid, local.clock.boot(), known=known)
            del self._keys[kid]
            answered.set_result(None)
        return decision

    async def _question(
        self, token: str, requirement: Requirement, min_revision: int, on_stale: OnStale
    ) -> Decision:
        local = self.local
        if self._remote is None:
            return self._without_answer(token, requirement, min_revision, on_stale, "unreachable")
        asked_at = local.clock.boot()
        # What is known here has happened: a server that has not heard of it is not to answer.
        at_least = max(min_revision, local.floor)
        try:
            answer = await self._remote.ask(
                (digest_of(token), requirement, at_least),
                question(token, requirement, at_least),
                session=local.known_session(token),
                alone=min_revision > local.revision,
            )
        except Unanswered as failure:
            return self._without_answer(token, requirement, min_revision, on_stale, failure.reason)
        decision = decision_of(answer, at_least)
        if decision.principal is not None:
            local.learn(token, requirement, decision.principal, asked_at, max_age_of(answer))
        elif decision.answered:
            local.learn_refusal(token, requirement, decision.verdict, decision.revision)
        return decision

    async def _reached(self, revision: int) -> bool:
        """Whether the feed brings ``revision`` in time. A token about which nothing can be decided
        here even then is asked about together with others, and not alone."""
        if self._follower is None or not self.local.fresh:
            return False
        return await self._follower.reach(revision, FEED_SECONDS)

    def _without_answer(
        self,
        token: str,
        requirement: Requirement,
        min_revision: int,
        on_stale: OnStale,
        reason: str,
    ) -> Decision:
        local = self.local
        _log.debug("a token is refused because nobody answers: %s", reason)
        if local.fresh:  # the view may have become so while the question was under way
            return local.judge(token, requirement, min_revision) or unanswered(reason)
        if on_stale == "allow_until_expiry":
            decision = local.judge_stale(token, requirement, min_revision)
            if decision is not None:
                return decision
        stale = reason == "unreachable" and local.trust.epoch
        return unanswered("stale" if stale else reason)

    async def _upkeep(self) -> None:
        while True:
            more = self.local.upkeep()
            await asyncio.sleep(BREATH_SECONDS if more else UPKEEP_SECONDS)

    def _run(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_report_end)
        self._tasks.append(task)


def _telling(local: LocalValidator, events: ValidatorEvents) -> Callable[..., Decision | None]:
    """Decide as :meth:`LocalValidator.try_local` does, and tell of it."""
    decide, tell = local.try_local, events.decided

    def try_local(*demands: Any) -> Decision | None:  # noqa: ANN401 - those of `decide`
        decision = decide(*demands)
        if decision is not None:
            tell(decision)
        return decision

    return try_local


def _report_end(task: asyncio.Task[None]) -> None:
    """A part that ended by itself is a fault; the validator goes on by asking the server."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a part of the validator has failed", exc_info=error)
