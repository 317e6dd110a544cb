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

from tests.e2e.model import (
    ADMIN,
    GATEWAY,
    MINUTE,
    PASSWORD_AGE,
    SERVICE,
    Model,
    Session,
)
from tests.e2e.model_driver import Driver, StandingClock, expected
from tests.e2e.model_machine import Asked, MachineBase, Place, pick, refuse_unless
from tests.support.fixtures import StartApplication
from tests.support.world import World
from tokenservice.core import TrustEntryKind
from tokenservice.v1 import session_service_pb2 as sessions_pb
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import user_service_pb2 as users_pb

CLIENTS = ("demo-web", "demo-opaque", "demo-rolling", "demo-mobile", "demo-api")

clients = st.sampled_from(CLIENTS)
ages = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3, 5, 8, 13, 21])
"""How many were made since the one that is meant."""
devices = st.sampled_from(["", "phone", "laptop"])
audience_sets = st.sampled_from(
    [("orders",), ("orders",), (), ("billing",), ("billing", "orders"), ("nowhere",)]
)
scope_sets = st.sampled_from(
    [(), (), (), ("orders.read",), ("orders.read", "orders.write"), ("billing.read",), ("root",)]
).map(frozenset)
needed_scopes = st.sampled_from([(), (), ("orders.read",), ("billing.read",)]).map(frozenset)
role_sets = st.sampled_from([("accounting", "sales"), ("sales",), ("accounting",), ()]).map(
    frozenset
)
credentials_of = st.sampled_from(["user", "user", "user", "user", "wrong", "client"])
exchange_id_choices = st.sampled_from(["new", "new", "new", "none", "used"])
short_lapses = st.sampled_from([1, 10, 59, 60, 61, 120, 240, 299, 300, 599, 600, 601])
long_lapses = st.sampled_from([899, 900, 1_799, 1_800, 3_600, 43_200, 86_400, 31 * 86_400])
purposes = st.sampled_from(["SIGNING", "MINT", "OPAQUE"])
chances = st.sampled_from([False, False, False, True])
"""What ends much happens less often: else little is alive to be looked at."""


class TokenMachine(MachineBase):
    """The rules."""

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
    def ask_for_something_else(self) -> None:
        """The same id does not make another request a retry."""
        last = self.asked[-1]
        self.exchange(replace(last, password="" if last.password else "user"))

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
    def validate_all(self) -> None:
        for token in list(self.model.accesses):
            self.driver.validate(token, self.audience(token), frozenset(), None, self.revision)

    @rule(lapse=short_lapses)
    def minutes_pass(self, lapse: int) -> None:
        self.driver.advance(lapse)

    @rule(
        age=ages,
        edge=st.sampled_from(["replay", "replay", "access", "idle"]),
        beyond=st.sampled_from([-1, 0, 0, 1]),
    )
    def an_edge_is_near(self, age: int, edge: str, beyond: int) -> None:
        session = self._session(age)
        at = {
            "replay": session.rotated_at + session.client.window,
            "access": session.rotated_at + session.client.life,
            "idle": session.idle_at,
        }
        self.driver.advance(max(0.0, at[edge] + beyond - self.model.now))
        asked = [one for one in self.asked if self.owner(one.token) == session.client.client_id]
        for one in asked[-1:]:
            self.exchange(one)

    @rule(lapse=long_lapses, chance=chances)
    def hours_pass(self, lapse: int, chance: bool) -> None:
        self.driver.advance(lapse if chance else 2)

    @rule()
    def redis_forgets(self) -> None:
        self.place.flush_redis()

    # --- revocation ---

    @rule(age=ages, caller=st.sampled_from(["", "", "", "demo-web", GATEWAY, ADMIN]))
    def revoke_token(self, age: int, caller: str) -> None:
        token = self.any_token(age)
        by = caller or self.owner(token)
        self.revoke(by, lambda: self.model.revoke_token(by, token), token=token)

    @rule(age=ages, caller=st.sampled_from(["", "", "demo-mobile", ADMIN]))
    def revoke_session(self, age: int, caller: str) -> None:
        session = self._session(age)
        by = caller or session.client.client_id

        def change() -> int:
            refuse_unless(not session.gone, "SESSION_NOT_FOUND")
            refuse_unless(by in (ADMIN, session.client.client_id), "CLIENT_MISMATCH")
            return self.model.revoke_session(session)

        self.revoke(by, change, session_id=session.session_id)

    @rule(age=ages, other=ages)
    def sign_out_a_session(self, age: int, other: int) -> None:
        token, session = self.credential_token(age), self._session(other)
        by = self.owner(token)

        def change() -> int:
            refuse_unless(not session.gone, "SESSION_NOT_FOUND")
            if by != session.client.client_id:
                same = self.model.current(by, token).subject == session.subject
                refuse_unless(same, "SESSION_NOT_FOUND")
            return self.model.revoke_session(session)

        request = sessions_pb.RevokeSessionRequest(
            session_id=session.session_id, session_token=token
        )
        got = self.driver.ask(by, lambda api: api.sessions.RevokeSession, request)
        self.check_revoked(expected(change), got)

    @rule(age=ages, caller=st.sampled_from(["", "", "", "", "demo-web"]))
    def sign_out_the_others(self, age: int, caller: str) -> None:
        token = self.credential_token(age)
        by = caller or self.owner(token)

        def change() -> int:
            keep = self.model.current(by, token)
            others = [one for one in self.model.live(keep.subject) if one is not keep]
            return sum(self.model.revoke_session(one) for one in others)

        request = sessions_pb.RevokeOtherSessionsRequest(session_token=token)
        got = self.driver.ask(by, lambda api: api.sessions.RevokeOtherSessions, request)
        self.check_revoked(expected(change), got)

    @rule(caller=st.sampled_from([ADMIN, "demo-web"]), everybody=chances)
    def revoke_subject(self, caller: str, everybody: bool) -> None:
        subject = self.user.user_id if everybody else "demo-api"

        def change() -> int:
            refuse_unless(caller == ADMIN, "PERMISSION_MISSING")
            return self.bulk(TrustEntryKind.SUBJECT, subject)

        self.revoke(caller, change, subject=subject)

    @rule(device=st.sampled_from(["phone", "laptop"]))
    def revoke_device(self, device: str) -> None:
        lost = pb.SubjectDevice(subject=self.user.user_id, device_id=device)
        kind = TrustEntryKind.SUBJECT_DEVICE
        self.revoke(ADMIN, lambda: self.bulk(kind, self.user.user_id, device), subject_device=lost)

    @rule(client=clients, caller=st.sampled_from(["", GATEWAY, GATEWAY, ADMIN]))
    def revoke_client(self, client: str, caller: str) -> None:
        by = caller or client

        def change() -> int:
            refuse_unless(by in (ADMIN, client), "PERMISSION_MISSING")
            return self.bulk(TrustEntryKind.CLIENT, client)

        self.revoke(by, change, client_id=client)

    @rule(chance=chances, again=chances)
    def revoke_everything(self, chance: bool, again: bool) -> None:
        if chance and again:
            self.revoke(
                ADMIN,
                lambda: self.bulk(TrustEntryKind.EVERYTHING),
                everything=pb.RevokeEverything(),
            )

    # --- users and keys ---

    @rule(roles=role_sets)
    def set_roles(self, roles: frozenset[str]) -> None:
        request = users_pb.SetRolesRequest(user_id=self.user.user_id, roles=sorted(roles))
        got = self.admin(lambda api: api.users.SetRoles, request)
        lost = self.user.roles - roles
        self.user.roles = roles
        if lost:
            self.narrow()
        self.check_revoked(None, got)

    @rule(chance=chances)
    def disable_user(self, chance: bool) -> None:
        if not chance:
            return
        request = users_pb.DisableUserRequest(user_id=self.user.user_id)
        got = self.admin(lambda api: api.users.DisableUser, request)
        if not self.user.disabled:
            self.bulk(TrustEntryKind.SUBJECT, self.user.user_id)
            self.user.disabled = True
        self.check_revoked(None, got)

    @rule()
    def enable_user(self) -> None:
        request = users_pb.EnableUserRequest(user_id=self.user.user_id)
        self.admin(lambda api: api.users.EnableUser, request)
        self.user.disabled = False

    @rule(age=ages, by_admin=chances)
    def set_password(self, age: int, by_admin: bool) -> None:
        token, password = self.live_token(age), self.new_password()
        request = users_pb.SetPasswordRequest(new_password=password)
        caller = ADMIN if by_admin else self.owner(token)
        if by_admin:
            request.user_id = self.user.user_id
        else:
            request.session_token = token

        def change() -> None:
            keep = None if by_admin else self.model.current(caller, token)
            if keep is not None:
                refuse_unless(keep.user is not None, "CREDENTIAL_NOT_ALLOWED")
                young = self.model.now - keep.auth_time <= PASSWORD_AGE
                refuse_unless(young, "STEP_UP_REQUIRED")
            self.bulk(TrustEntryKind.SUBJECT, self.user.user_id)
            self.user.password = password
            if keep is not None:
                keep.rev = self.model.head

        got = self.driver.ask(caller, lambda api: api.users.SetPassword, request)
        self.check_revoked(expected(change), got)

    @rule(purpose=purposes)
    def rotate_key(self, purpose: str) -> None:
        self.driver.rotate_key(purpose)

    @rule(purpose=purposes, chance=chances, age=st.integers(0, 2))
    def compromise_key(self, purpose: str, chance: bool, age: int) -> None:
        if chance:
            self.driver.compromise_key(purpose, age)
            self.revision = self.model.head

    def _session(self, age: int) -> Session:
        """A session of a token that was handed out; every example has one."""
        found = pick([one.session for one in self.model.credentials.values()], age)
        assert found is not None
        return found


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
