"""Validation for asyncio programs: decided in this process where it can be, asked otherwise.

::

    async with Connection(targets, credentials) as connection, Validator(connection) as validator:
        decision = await validator.validate(token, audience="orders", scopes=["orders.read"])
        if not decision.active:
            return decision.http_status, decision.www_authenticate
        serve(decision.principal)

A token that was seen before costs some microseconds and no network call. A revoked token is
refused everywhere within ``staleness_limit`` seconds, and in practice within milliseconds: a
validator that does not hear of the trust log for longer asks the server about every token, and
refuses (status 503) what nobody answers for.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from tokenservice.activity import ActivityLog, ActivityReporter
from tokenservice.answers import decision_of, max_age_of, question
from tokenservice.decision import Decision, unanswered
from tokenservice.follower import TrustFollower
from tokenservice.local_validator import LocalValidator, digest_of
from tokenservice.remote import RemoteValidation, Unanswered
from tokenservice.server_calls import ServerCalls
from tokenservice.token_cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine
    from datetime import timedelta

    from tokenservice.connection import Connection
    from tokenservice.core import Requirement
    from tokenservice.decision import OnStale

UPKEEP_SECONDS: Final = 1.0
BREATH_SECONDS: Final = 0.01
"""Between the parts of a round in which there is much to let go of."""
FEED_SECONDS: Final = 0.05
"""How long a revision is waited for before the server is asked: as a rule the feed brings it within
this time, to all who wait for it, and costs the server nothing."""
LAST_REPORT_SECONDS: Final = 1.0
"""How long closing waits for the last report of activity."""

_log = logging.getLogger("tokenservice.validator")


class AssembledValidator:
    """A validator made of parts; see :class:`Validator` for the usual one.

    Without ``remote`` nobody can be asked, without ``follower`` whoever holds ``local`` keeps its
    view of the trust log: that suffices for tests.
    """

    def __init__(
        self,
        local: LocalValidator,
        remote: RemoteValidation | None = None,
        *,
        follower: TrustFollower | None = None,
        reporter: ActivityReporter | None = None,
    ) -> None:
        self.local = local
        self._remote = remote
        self._follower = follower
        self._reporter = reporter
        self._tasks: list[asyncio.Task[None]] = []
        self._try_local = local.try_local

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

    async def wait_ready(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the first view of the trust log.

        Until then, and when this returns False, every token is asked about.
        """
        if self._follower is None:
            return self.fresh
        try:
            async with asyncio.timeout(timeout):
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
        max_auth_age: float | timedelta | None = None,
        acr: str = "",
        confirmation: bytes = b"",
        min_revision: int = 0,
        on_stale: OnStale = "ask",
    ) -> Decision:
        """See :meth:`tokenservice.decision.Validates.validate`."""
        decision = self._try_local(
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
        local = self.local
        if min_revision > local.revision and await self._reached(min_revision):
            decision = local.judge(token, requirement, min_revision)
            if decision is not None:
                return decision
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
        if local.fresh:
            return unanswered(reason)
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


class Validator(AssembledValidator):
    """Validates over a connection, which it shares with others and does not close.

    The caller needs the permissions ``tokens.validate`` and ``trust.watch``, and must protect the
    audiences that it asks about. Use it as a context manager, one per event loop.

    ``staleness_limit`` (seconds) is how old the view of the trust log may be to decide by: how
    long a revoked token may still be accepted. ``max_entries`` and ``max_bytes`` bound what is
    remembered of tokens. ``remote_timeout`` (seconds) bounds a question to the server.
    A ``min_revision`` that the feed has yet to bring is waited for up to 50 ms before that.
    ``activity_interval`` (seconds) is how often, at most, a session's activity is reported;
    ``report_activity=False`` leaves that to others, and sessions that are used but here alone
    then run into their idle limit.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        staleness_limit: float = 5.0,
        max_entries: int = 100_000,
        max_bytes: int = 150_000_000,
        remote_timeout: float = 1.0,
        activity_interval: float = 60.0,
        report_activity: bool = True,
    ) -> None:
        local = LocalValidator(
            cache=TokenCache(max_entries, max_bytes),
            activity=ActivityLog(activity_interval),
            staleness_limit=staleness_limit,
        )
        calls = ServerCalls(connection, remote_timeout)
        reporter = ActivityReporter(local.activity, local.clock, calls.report)
        super().__init__(
            local,
            RemoteValidation(calls.validate, timeout=remote_timeout),
            follower=TrustFollower(local, calls.watch),
            reporter=reporter if report_activity else None,
        )


def _report_end(task: asyncio.Task[None]) -> None:
    """A part that ended by itself is a fault; the validator goes on by asking the server."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a part of the validator has failed", exc_info=error)
