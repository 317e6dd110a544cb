"""Scans, approves, denies, cancels and collects at random, while time passes and Redis forgets, and
compares every answer with a plain model.

TEST_PAIRING_EXAMPLES lets it run for longer.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from datetime import timedelta
from hashlib import sha256
from math import ceil, nan
from typing import Any, TypeVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.pairing.model import CODES, MINUTE, Model, Refused
from tests.support.callers import Callers
from tests.support.clocks import ShiftedClock
from tests.support.devices import (
    Pair,
    end_name,
    following,
    other_number,
    start_map,
    start_pam,
    state_name,
)
from tests.support.fixtures import StartApplication
from tests.support.outcomes import outcome
from tests.support.policies import change_policy
from tests.support.world import World
from tokenservice.v1 import pairing_service_pb2 as pb

Answer = TypeVar("Answer")

LAPSES = (1, 1, 29, 59, 60, 61, 119, 120, 121, 239, 240, 299, 300, 301)
scans = st.sampled_from(["one", "one", "other"])
exchange_ids = st.sampled_from(["", "a", "a", "b"])


class StandingClock(ShiftedClock):
    """Time passes only where the test says so, once it stands."""

    moment = nan

    def stand(self) -> None:
        self.moment = ceil(self.anchor.now()) + 0.25

    def advance(self, by: timedelta) -> None:
        self.moment += by.total_seconds()

    def _shifted(self) -> float:
        return self.anchor.now() if self.moment != self.moment else self.moment


class Place:
    """A server on its own event loop, for a machine in another thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        callers: Callers,
        clock: StandingClock,
        forget: Callable[[], object],
        *,
        direct: bool,
    ) -> None:
        self.loop = loop
        self.callers = callers
        self.clock = clock
        self.forget = forget
        self.direct = direct

    def wait(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30.0)


def sixteen(name: str) -> bytes:
    return sha256(name.encode()).digest()[:16] if name else b""


class PairingMachine(RuleBasedStateMachine):
    """One pairing of somebody new."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.codes: dict[int, str] = {}
        self.numbers: dict[str, str] = {}

    @property
    def now(self) -> float:
        return self.place.clock.moment

    @initialize(direction=st.sampled_from(["map", "pam"]))
    def starts(self, direction: str) -> None:
        place = self.place
        place.clock.advance(timedelta(hours=1))  # the rate limits of the last example are over
        self.person = place.wait(place.callers.new_person())
        pam = direction == "pam"
        client = "web" if pam else "mobile"
        self.token = place.wait(place.callers.log_in(self.person, client)).session_token
        start = start_pam(place.callers, self.token) if pam else start_map(place.callers)
        self.pair: Pair = place.wait(start)
        self.model = Model(direction, pam and place.direct, self.now, self.now)
        self.codes = {0: self.pair.started.code}
        self.tokens: dict[str, str] = {}

    def compare(self, asked: Coroutine[Any, Any, Any], told: Callable[[], Any]) -> Any:
        """The reply, after it was found to be the model's; None for a refusal."""
        try:
            wanted: Any = told()
        except Refused as refused:
            wanted = refused.args[0]
        got = self.place.wait(outcome(asked))
        if isinstance(got, str):
            assert got == wanted
            return None
        if not isinstance(got, pb.CollectPairingResponse):
            assert state_name(got.state) == wanted
        return got

    @rule(age=st.integers(0, 2), scan=scans)
    def scans_a_code(self, age: int, scan: str) -> None:
        number = max(0, max(self.codes) - age)
        if number not in self.codes:
            return
        request = {"scan_id": sixteen(scan), "session_token": self.token}
        before = self.pair.scan
        got = self.compare(
            self.pair.scanned(code=self.codes[number], **request),
            lambda: self.model.scanned(number, scan, self.now),
        )
        if got is None:
            self.pair.scan = before
        elif before is not None:
            assert got.scan_secret == before.scan_secret

    @precondition(lambda self: self.model.direction == "pam" or self.pair.scan)
    @rule(right=st.booleans())
    def approves(self, right: bool) -> None:
        number = self.place.wait(self.number())
        typed = number if right else other_number(number)
        self.compare(
            self.pair.approve(self.token, typed), lambda: self.model.approved(right, self.now)
        )

    @precondition(lambda self: self.model.direction == "pam" or self.pair.scan)
    @rule()
    def denies(self) -> None:
        side = "STARTER" if self.model.direction == "pam" else "SCANNER"
        self.compare(self.pair.deny(), lambda: self.model.ended("DENIED", side, self.now))

    @rule()
    def cancels(self) -> None:
        self.compare(self.pair.cancel(), lambda: self.model.ended("CANCELLED", "STARTER", self.now))

    @precondition(lambda self: self.model.direction == "map" or self.pair.scan)
    @rule(exchange_id=exchange_ids)
    def collects(self, exchange_id: str) -> None:
        replayed: list[bool] = []
        got = self.compare(
            self.pair.collect(sixteen(exchange_id)),
            lambda: replayed.append(self.model.collect(exchange_id, self.now)),
        )
        if got is None:
            assert replayed == []
            return
        assert [got.replayed] == replayed
        token = got.tokens.session_token
        assert self.tokens.setdefault("session", token) == token

    @rule(lapse=st.sampled_from(LAPSES))
    def time_passes(self, lapse: int) -> None:
        self.place.clock.advance(timedelta(seconds=lapse))

    @precondition(lambda self: not self.model.dead)
    @rule(chance=st.integers(0, 3))
    def is_disabled(self, chance: int) -> None:
        if chance == 0:
            self.place.wait(self.place.callers.disable_user(self.person.user_id))
            self.model.dead = True

    @rule(chance=st.integers(0, 3))
    def redis_forgets(self, chance: int) -> None:
        if chance == 0:
            self.place.forget()
            self.model.forgotten = True

    @invariant()
    def stands_as_the_model_says(self) -> None:
        if not hasattr(self, "pair"):
            return
        got = self.compare(self.look(), lambda: self.model.look(self.now))
        if got is None:
            return
        assert end_name(got.end_reason) == self.model.end_reason
        if state_name(got.state) == "PENDING":
            number = self.model.shown(self.now)
            assert self.codes.setdefault(number, got.code) == got.code
            assert 0 < got.code_expires_at.ToSeconds() - self.now + 0.25 <= 2 * MINUTE
            assert number < CODES
        else:
            assert got.code == ""

    async def look(self) -> pb.WatchPairingResponse:
        async with following(self.pair.watch()) as stream:
            return await stream.read()  # type: ignore[no-any-return]

    async def number(self) -> str:
        """As it was displayed when it was."""
        scan = self.pair.scan
        if scan is None or self.model.direct:
            return "11"
        if scan.check_number:
            return scan.check_number
        standing = await self.look()
        if standing.check_number:
            self.numbers[scan.scan_secret] = standing.check_number
        return self.numbers.get(scan.scan_secret, "11")


@pytest.mark.parametrize("direct", [False, True])
async def test_every_answer_is_the_models(
    world: World, start_application: StartApplication, redis_url: str, direct: bool
) -> None:
    clock = StandingClock()
    server = await start_application(clock, rate_scale=10_000)
    for task in server.application._tasks:
        task.cancel()
    async with Callers(world, server.address) as callers:
        if direct:
            await change_policy(callers.admin, "demo-mobile", pam_direct=True)
        clock.stand()
        with redis.from_url(redis_url) as cache:
            place = Place(asyncio.get_running_loop(), callers, clock, cache.flushall, direct=direct)
            bounds = settings(
                max_examples=int(os.environ.get("TEST_PAIRING_EXAMPLES", "15")),
                stateful_step_count=14,
                suppress_health_check=list(HealthCheck),
            )

            def machine() -> PairingMachine:
                return PairingMachine(place)

            await asyncio.to_thread(run_state_machine_as_test, machine, settings=bounds)  # type: ignore[arg-type]
