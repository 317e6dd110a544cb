"""A machine that logs in, exchanges, validates and revokes at random, and compares every answer
with a plain model of the token model.

TEST_MODEL_EXAMPLES and TEST_MODEL_STEPS let it run for longer.
"""

import asyncio
import itertools
import os
from dataclasses import replace

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.e2e.model import Model
from tests.e2e.model_driver import Driver, StandingClock
from tests.e2e.model_machine import Asked, Place, pick
from tests.e2e.model_records import ADMIN, GATEWAY, MINUTE, SERVICE
from tests.e2e.model_revocations import Revocations
from tests.e2e.model_strategies import (
    CLIENTS,
    WITHIN,
    ages,
    audience_sets,
    chances,
    clients,
    credentials_of,
    devices,
    exchange_id_choices,
    long_lapses,
    needed_scopes,
    role_sets,
    scope_sets,
    short_lapses,
    windows,
)
from tests.support.fixtures import StartApplication
from tests.support.world import World


class TokenMachine(Revocations):
    """All rules."""

    @initialize(roles=role_sets.filter(bool), client=clients)
    def somebody_logs_in(self, roles: frozenset[str], client: str) -> None:
        self.start(roles)
        self.log_in(client, device="phone")
        self.log_in("demo-mobile", ("orders",), device="laptop")

    def teardown(self) -> None:
        """Leave no key published that does not make tokens yet: examples begin alike."""
        self.driver.advance(2 * MINUTE)
        self.driver.check_keys()

    # --- layer 2 ---

    @rule(
        client=clients,
        audiences=audience_sets,
        scopes=scope_sets,
        device=devices,
        who=credentials_of,
    )
    def issue(
        self,
        client: str,
        audiences: tuple[str, ...],
        scopes: frozenset[str],
        device: str,
        who: str,
    ) -> None:
        self.log_in(client, audiences, scopes, device, who=who)

    @rule(audiences=st.sampled_from([(SERVICE,), ("orders", SERVICE)]), scopes=scope_sets)
    def issue_to_a_client(self, audiences: tuple[str, ...], scopes: frozenset[str]) -> None:
        self.log_in("demo-api", audiences, scopes, who="client")

    @rule(age=ages)
    def exchange_a_live_one(self, age: int) -> None:
        token = self.live_token(age)
        self.exchange(Asked(self.owner(token), token, self.exchange_id("new"), (), frozenset()))
        self.validate_all()

    @rule(age=ages, choice=exchange_id_choices)
    def exchange_a_spent_one(self, age: int, choice: str) -> None:
        token = self.spent_token(age)
        self.exchange(Asked(self.owner(token), token, self.exchange_id(choice), (), frozenset()))

    @rule(age=ages, choice=exchange_id_choices)
    def exchange_for_all(self, age: int, choice: str) -> None:
        token = self.credential_token(age)
        self.exchange(Asked(self.owner(token), token, self.exchange_id(choice), (), frozenset()))

    @rule(age=ages, choice=exchange_id_choices, audiences=audience_sets, scopes=scope_sets)
    def exchange_for_less(
        self, age: int, choice: str, audiences: tuple[str, ...], scopes: frozenset[str]
    ) -> None:
        token = self.credential_token(age)
        self.exchange(Asked(self.owner(token), token, self.exchange_id(choice), audiences, scopes))

    @rule(age=ages, caller=clients)
    def exchange_by_anybody(self, age: int, caller: str) -> None:
        token = self.any_token(age)
        self.exchange(Asked(caller, token, self.exchange_id("new"), (), frozenset()))

    @precondition(lambda self: self.asked)
    @rule()
    def ask_again_at_once(self) -> None:
        self.exchange(self.asked[-1])

    @precondition(lambda self: self.asked)
    @rule()
    def step_up_instead_or_the_other_way_round(self) -> None:
        """Two calls of one client for one token: the second is superseded and nobody a thief."""
        last = self.asked[-1]
        self.exchange(replace(last, password="" if last.password else "user"))

    @precondition(lambda self: self.asked)
    @rule(audiences=audience_sets, scopes=scope_sets, within=windows)
    def ask_for_something_else(
        self, audiences: tuple[str, ...], scopes: frozenset[str], within: int | None
    ) -> None:
        """The same id is the same exchange, whatever it asks for."""
        last = self.asked[-1]
        self.exchange(replace(last, audiences=audiences, scopes=scopes, within=within))

    @precondition(lambda self: self.asked)
    @rule(age=ages)
    def ask_again(self, age: int) -> None:
        asked = pick(self.asked, age)
        assert asked is not None
        self.exchange(asked)

    @rule(
        age=ages,
        choice=exchange_id_choices,
        scopes=scope_sets,
        password=st.sampled_from(["user", "user", "user", "wrong", "stranger"]),
    )
    def reauthenticate(self, age: int, choice: str, scopes: frozenset[str], password: str) -> None:
        token = self.live_token(age)
        drawn = self.exchange_id(choice)
        self.exchange(Asked(self.owner(token), token, drawn, (), scopes, password))

    @rule()
    def list_sessions(self) -> None:
        self.driver.check_sessions(self.user.user_id)
        self.driver.check_sessions("demo-api")

    @rule()
    def sweep(self) -> None:
        self.driver.sweep()

    # --- layer 3 ---

    @rule(
        age=ages,
        audience=st.sampled_from(["orders", "orders", "", "", "", "billing"]),
        scopes=needed_scopes,
        max_auth_age=st.sampled_from([None, None, 0, 1, 60, 600, 3_600]),
        ahead=st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1]),
    )
    def validate(
        self,
        age: int,
        audience: str,
        scopes: frozenset[str],
        max_auth_age: int | None,
        ahead: int,
    ) -> None:
        """Never from a state before the last revocation that this example knows of."""
        revision = self.model.head + 1 if ahead else self.revision
        token = self.any_token(age)
        where = audience or self.audience(token)
        self.driver.validate(token, where, scopes, max_auth_age, revision)

    @rule()
    def look_around(self) -> None:
        self.validate_all()

    @rule(lapse=short_lapses)
    def minutes_pass(self, lapse: int) -> None:
        self.driver.advance(lapse)
        self.validate_all()
        self.driver.check_sessions(self.user.user_id)

    @rule(
        client=clients,
        age=ages,
        edge=st.sampled_from(["replay", "replay", "within", "access", "idle"]),
        beyond=st.sampled_from([-1, 0, 0, 1]),
    )
    def an_edge_is_near(self, client: str, age: int, edge: str, beyond: int) -> None:
        """Ask again what may be asked again, just before and just after that ends."""
        if not self.repeatable():
            self.log_in(client, ("orders",))
            self.exchange_a_live_one(0)
        asked = pick(self.repeatable(), age)
        session = self.model.credentials[asked.token].session if asked else self.session(age)
        at = {
            "replay": session.rotated_at + session.client.window,
            "within": session.rotated_at + WITHIN,
            "access": session.rotated_at + session.client.life,
            "idle": session.idle_at,
        }
        self.driver.advance(max(0.0, at[edge] + beyond - self.model.now))
        self.validate_all()
        if asked is not None:
            self.exchange(replace(asked, within=WITHIN) if edge == "within" else asked)

    @rule(lapse=long_lapses, chance=chances)
    def hours_pass(self, lapse: int, chance: bool) -> None:
        self.driver.advance(lapse if chance else 2)

    @rule()
    def redis_forgets(self) -> None:
        self.place.flush_redis()


async def test_every_answer_is_the_models(
    world: World, start_application: StartApplication
) -> None:
    clock = StandingClock()
    server = await start_application(
        clock,
        key_rotation_period="36500d",
        pepper_rotation_period="36500d",
        login_attempts_per_account_and_address=100_000,
        login_attempts_per_account=100_000,
        rate_scale=1_000,
    )
    for task in server.application._tasks:  # the machine says when background work is done
        task.cancel()
    apis = {name: world.api(server.address, name) for name in (*CLIENTS, GATEWAY, ADMIN)}
    try:
        loop = asyncio.get_running_loop()
        driver = Driver(loop, server, clock, apis, Model(clock.stand()))
        await driver.learn_keys()
        with redis.from_url(world.redis_url or "") as cache:
            place = Place(
                driver, cache.flushall, itertools.count(1), (world.username, world.password)
            )
            bounds = settings(
                max_examples=int(os.environ.get("TEST_MODEL_EXAMPLES", "40")),
                stateful_step_count=int(os.environ.get("TEST_MODEL_STEPS", "50")),
                suppress_health_check=list(HealthCheck),
            )

            def machine() -> TokenMachine:
                return TokenMachine(place)

            await asyncio.to_thread(run_state_machine_as_test, machine, settings=bounds)  # type: ignore[arg-type]
    finally:
        for api in apis.values():
            await api.__aexit__()
