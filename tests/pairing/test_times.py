"""Rotation, death and end of codes and pairings, and what policies ask for: on a clock that the
test moves."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import redis
from google.protobuf.duration_pb2 import Duration

from tests.support.callers import Callers, Person
from tests.support.devices import (
    FAR_PHONE,
    Pair,
    following,
    other_number,
    scan,
    start_map,
    start_pam,
    state_name,
)
from tests.support.fixtures import LocalServer, StartApplication
from tests.support.outcomes import outcome
from tests.support.policies import change_policy
from tests.support.removing import removed
from tests.support.waiting import patience
from tests.support.world import World
from token_service.usecases.login.passwords import account_bucket
from tokenservice.v1 import client_policy_pb2
from tokenservice.v1 import pairing_service_pb2 as pb
from tokenservice.v1 import token_service_pb2 as tokens_pb
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as users


class Here:
    """A server in this process, its callers, and somebody logged in on a phone and a PC."""

    def __init__(self, server: LocalServer, callers: Callers, person: Person) -> None:
        self.server = server
        self.callers = callers
        self.person = person
        self.phone = ""
        self.browser = ""

    async def pass_by(self, **time: float) -> None:
        """Let time pass, and those who wait for it see it."""
        self.server.clock.advance(timedelta(**time))
        self.server.application.parts.pairing_wakeups.tell_all()
        await asyncio.sleep(0)

    async def look(self, pair: Pair) -> pb.WatchPairingResponse:
        """What the starter sees, asked anew."""
        async with following(pair.watch()) as stream:
            return await stream.read()  # type: ignore[no-any-return]

    async def log_in(self) -> None:
        self.phone = (await self.callers.log_in(self.person, "mobile")).session_token
        self.browser = (await self.callers.log_in(self.person)).session_token


@pytest.fixture
async def here(world: World, start_application: StartApplication) -> AsyncIterator[Here]:
    server = await start_application(rate_scale=100)
    async with Callers(world, server.address) as callers:
        found = Here(server, callers, await callers.new_person())
        await found.log_in()
        yield found


async def test_a_stream_without_news_repeats_itself(here: Here) -> None:
    """Within 25 seconds, for proxies cut connections that are silent for a minute."""
    pair = await start_map(here.callers)
    async with following(pair.watch()) as stream:
        first = await stream.read()
        for _ in range(2):  # the second code is due after a minute
            await here.pass_by(seconds=25)
            assert await stream.read() == first
        await pair.scanned(session_token=here.phone)
        scanned = await stream.read()
        assert state_name(scanned.state) == "SCANNED"
        for _ in range(2):
            await here.pass_by(seconds=25)
            assert await stream.read() == scanned


async def test_codes_rotate_and_die(here: Here) -> None:
    pair = await start_map(here.callers)
    async with following(pair.watch()) as stream:
        shown = [(await stream.read()).code]
        for _ in range(4):
            await here.pass_by(seconds=60)
            message = await stream.read()
            assert state_name(message.state) == "PENDING"
            assert message.qr_uri.endswith(f"/{message.code}")
            shown.append(message.code)
        assert len(set(shown)) == 5
        for dead in shown[:3]:
            assert await outcome(scan(pair.phone, dead, session_token=here.phone)) == (
                "PAIRING_STATE"
            )
        assert state_name((await here.look(pair)).state) == "PENDING", "dead codes harm nobody"
        await pair.scanned(code=shown[3], session_token=here.phone)
        assert state_name((await stream.read()).state) == "SCANNED"
    # The other code that was alive is a tombstone now.
    assert await outcome(scan(pair.phone, shown[4], session_token=here.phone)) == "PAIRING_STATE"
    assert state_name((await here.look(pair)).state) == "CANCELLED"


async def test_a_code_lives_two_minutes(here: Here) -> None:
    pair = await start_map(here.callers)
    await here.pass_by(seconds=119)
    await pair.scanned(session_token=here.phone)
    late = await start_map(here.callers)
    await here.pass_by(seconds=120)
    assert await outcome(late.scanned(session_token=here.phone)) == "PAIRING_STATE"


async def test_a_second_scan_is_seen_for_two_minutes_from_the_code(here: Here) -> None:
    pair = await start_map(here.callers)
    await pair.scanned(session_token=here.phone)
    await here.pass_by(seconds=121)
    second = scan(pair.phone, pair.started.code, session_token=here.phone)
    assert await outcome(second) == "PAIRING_STATE"
    assert state_name((await here.look(pair)).state) == "SCANNED"


async def test_unscanned_it_ends_after_five_minutes(here: Here) -> None:
    pair = await start_map(here.callers)
    async with following(pair.watch()) as stream:
        await stream.read()
        await here.pass_by(minutes=4, seconds=59)
        last = await stream.read()
        assert last.code_expires_at == pair.started.expires_at
        await here.pass_by(seconds=1)
        assert state_name((await stream.read()).state) == "EXPIRED"
        assert not await stream.read()
    assert await outcome(pair.scanned(code=last.code, session_token=here.phone)) == "PAIRING_STATE"


@pytest.mark.parametrize("approved", [False, True])
async def test_decision_and_collection_have_five_minutes_each(here: Here, approved: bool) -> None:
    pair = await start_map(here.callers)
    await pair.scanned(session_token=here.phone)
    if approved:
        await here.pass_by(minutes=4, seconds=59)
        await pair.approve(here.phone)
    async with following(pair.watch()) as stream:
        await stream.read()
        await here.pass_by(minutes=5)
        assert state_name((await stream.read()).state) == "EXPIRED"
    assert await outcome(pair.collect()) == "PAIRING_STATE"
    assert await outcome(pair.deny()) == "PAIRING_STATE"
    now = here.server.clock.now()
    expire, _, forget = here.server.application.parts.pairings.removals
    assert await removed(expire, now) == 1
    assert state_name((await here.look(pair)).state) == "EXPIRED"
    assert await removed(forget, now + timedelta(days=2)) == 1
    assert await outcome(pair.deny()) == "PAIRING_NOT_FOUND"


async def test_approving_takes_a_recent_login(here: Here) -> None:
    pair = await start_map(here.callers)
    await here.pass_by(minutes=1)
    await pair.scanned(session_token=here.phone)
    second = Duration(seconds=30)
    await change_policy(here.callers.admin, "demo-web", pairing_max_auth_age=second)
    assert await outcome(pair.approve(here.phone)) == "STEP_UP_REQUIRED"
    mobile, person = here.callers.client("mobile"), here.person
    credential = tokens_pb.PasswordCredential(username=person.username, password=person.password)
    stepped = await mobile.tokens.Reauthenticate(
        tokens_pb.ReauthenticateRequest(token=here.phone, password=credential),
        metadata=mobile.metadata,
    )
    await pair.approve(stepped.tokens.session_token)
    collected = await pair.collect()
    access = collected.tokens.access_tokens[0].token
    answer = await here.callers.gateway.validate(access, max_auth_age=Duration(seconds=30))
    assert answer.verdict == types.VERDICT_ACTIVE
    await here.pass_by(minutes=1)
    answer = await here.callers.gateway.validate(access, max_auth_age=Duration(seconds=30))
    assert answer.verdict == types.VERDICT_STEP_UP_REQUIRED, "the login is no younger than that"


async def test_networks_may_have_to_be_the_same(here: Here) -> None:
    pair = await start_map(here.callers)
    deny = pb_rule("DENY")
    await change_policy(here.callers.admin, "demo-web", pairing_network=deny)
    far = pair.scanned(session_token=here.phone, device=FAR_PHONE)
    assert await outcome(far) == "PAIRING_NETWORK_MISMATCH"
    nowhere = pair.scanned(session_token=here.phone, device=types.Device())
    assert await outcome(nowhere) == "PAIRING_NETWORK_MISMATCH"
    assert state_name((await here.look(pair)).state) == "PENDING"
    assert (await pair.scanned(session_token=here.phone)).same_network


def pb_rule(name: str) -> int:
    return client_policy_pb2.PairingNetworkRule.Value(f"PAIRING_NETWORK_RULE_{name}")


@pytest.fixture
async def direct(here: Here) -> Here:
    await change_policy(here.callers.admin, "demo-mobile", pam_direct=True)
    return here


async def test_scan_and_go(direct: Here) -> None:
    pair = await start_pam(direct.callers, direct.browser)
    scanned = await pair.scanned()
    assert state_name(scanned.state) == "APPROVED"
    assert scanned.check_number == ""
    assert await outcome(pair.approve(direct.browser, "11")) == "PAIRING_STATE"
    tokens = (await pair.collect()).tokens
    assert await direct.callers.gateway.verdict(tokens.access_tokens[0].token) == "ACTIVE"
    # Within two minutes of the code, a second scan takes all of it back.
    second = scan(pair.phone, pair.started.code)
    assert await outcome(second) == "PAIRING_STATE"
    assert await direct.callers.gateway.verdict(tokens.access_tokens[0].token) == "REVOKED"
    assert state_name((await direct.look(pair)).state) == "CANCELLED"
    assert await outcome(pair.phone.exchange(tokens.session_token)) == "TOKEN_REVOKED"


async def test_scan_and_go_takes_a_recent_login(direct: Here) -> None:
    await direct.pass_by(minutes=11)
    start = start_pam(direct.callers, direct.browser)
    assert await outcome(start) == "STEP_UP_REQUIRED"


async def test_scan_and_go_does_not_hold_in_the_other_direction(direct: Here) -> None:
    await change_policy(direct.callers.admin, "demo-web", pam_direct=True)
    pair = await start_map(direct.callers)
    assert state_name((await pair.scanned(session_token=direct.phone)).state) == "SCANNED"
    assert await outcome(pair.collect()) == "PAIRING_STATE"


@pytest.mark.parametrize("done", ["disabled", "logged out", "locked", "other password"])
async def test_what_became_of_the_approver_counts(here: Here, done: str) -> None:
    pair = await start_map(here.callers)
    await pair.scanned(session_token=here.phone)
    await pair.approve(here.phone)
    if done == "disabled":
        await here.callers.disable_user(here.person.user_id)
    elif done == "logged out":
        await here.callers.client("mobile").revoke(token=here.phone)
    elif done == "locked":
        parts = here.server.application.parts
        bucket = account_bucket(parts.secrets, here.person.username)
        await parts.database.execute(
            "INSERT INTO attempts VALUES ($1, 100, $2, $2)",
            bucket,
            here.server.clock.now() + timedelta(minutes=4),
        )
    else:
        admin = here.callers.admin
        request = users.SetPasswordRequest(
            user_id=here.person.user_id, new_password="another password 7"
        )
        await admin.users.SetPassword(request, metadata=admin.metadata)
    assert await outcome(pair.collect()) == "PAIRING_STATE"
    rows = await here.server.application.parts.database.fetch(
        "SELECT FROM sessions WHERE pairing_id IS NOT NULL"
    )
    assert rows == []


async def test_a_disabled_client_is_told_no_more(here: Here) -> None:
    pair = await start_map(here.callers)
    async with following(pair.watch()) as stream:
        await stream.read()
        await here.callers.disable_client("demo-web")
        await here.pass_by(seconds=61)
        assert await outcome(stream.read()) == "CALLER_UNAUTHENTICATED"


async def test_what_redis_forgets_before_the_scan_is_gone(here: Here, redis_url: str) -> None:
    pair = await start_map(here.callers)
    kept = await start_map(here.callers)
    await kept.scanned(session_token=here.phone)
    async with following(pair.watch()) as stream:
        await stream.read()
        with redis.from_url(redis_url) as connection:
            connection.flushall()
        await here.pass_by(seconds=61)
        assert state_name((await stream.read()).state) == "EXPIRED"
    assert await outcome(pair.scanned(session_token=here.phone)) == "PAIRING_STATE"
    assert await outcome(pair.cancel()) == "PAIRING_NOT_FOUND"
    # From the scan on nothing depends on it; a second scan is seen too.
    await kept.approve(here.phone)
    second = scan(kept.phone, kept.started.code, session_token=here.phone)
    assert await outcome(second) == "PAIRING_STATE"
    assert await outcome(kept.collect()) == "PAIRING_STATE"


async def test_polling_too_often_is_slowed_down(here: Here) -> None:
    pair = await start_map(here.callers)
    found = [await outcome(pair.state()) for _ in range(7)]
    assert found[-1] == "RATE_LIMITED"
    assert [one for one in found[:5] if isinstance(one, str)] == []
    assert not isinstance(await outcome((await start_map(here.callers)).state()), str)


async def test_without_redis_none_is_started(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application(redis_url=None)
    async with Callers(world, server.address) as callers:
        assert await outcome(start_map(callers)) == "STORE_UNAVAILABLE"


async def test_watchers_hear_of_it_although_the_connection_is_lost(here: Here) -> None:
    pair = await start_map(here.callers)
    database = here.server.application.parts.database
    async with following(pair.watch()) as stream:
        await stream.read()
        ended = await database.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE '% pairing'"
        )
        assert len(ended) == 1
        await pair.scanned(session_token=here.phone)
        async with patience():
            assert state_name((await stream.read()).state) == "SCANNED"
            while not here.server.application.parts.pairing_wakeups.connected:
                await asyncio.sleep(0.05)
        await pair.approve(here.phone)
        assert state_name((await stream.read()).state) == "APPROVED"


async def test_every_step_has_its_audit_row(here: Here) -> None:
    pair = await start_map(here.callers)
    await pair.scanned(session_token=here.phone)
    number = await pair.number()
    await outcome(pair.approve(here.phone, other_number(number)))
    await pair.approve(here.phone, number)
    collected = await pair.collect()
    rows = await here.server.application.parts.database.fetch(
        "SELECT action, outcome, actor, subject, target, request_id FROM audit_log"
        " WHERE action LIKE 'pairing.%' ORDER BY id"
    )
    person, pairing_id = here.person.user_id, pair.pairing_id
    assert [tuple(row)[:5] for row in rows] == [
        ("pairing.scan", "ok", "demo-mobile", person, pairing_id),
        ("pairing.approve", "check_number_wrong", "demo-mobile", person, pairing_id),
        ("pairing.approve", "ok", "demo-mobile", person, pairing_id),
        ("pairing.collect", "ok", "demo-web", person, collected.tokens.session_id),
    ]
    assert all(row["request_id"] for row in rows)


async def test_guesses_leave_audit_rows(here: Here) -> None:
    """At the code, and at the secret of a pairing whose id is known."""
    pair, other = await start_map(here.callers), await start_map(here.callers)
    dead = other.started.code
    await other.scanned(session_token=here.phone)
    await other.cancel()
    await here.pass_by(minutes=3)
    mobile, web = here.callers.client("mobile"), here.callers.web
    for _ in range(2):
        assert await outcome(scan(mobile, dead, session_token=here.phone)) == "PAIRING_STATE"
        wrong = pb.GetPairingRequest(
            pairing_id=pair.pairing_id, watch_secret=other.started.watch_secret
        )
        got = await outcome(web.pairings.GetPairing(wrong, metadata=web.metadata))
        assert got in {"PAIRING_NOT_FOUND", "RATE_LIMITED"}
    rows = await here.server.application.parts.database.fetch(
        "SELECT action, outcome, actor, target, details FROM audit_log"
        " WHERE details LIKE '%refusals=%' ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [
        ("pairing.scan", "pairing_state", "demo-mobile", "unknown", "refusals=1"),
        ("pairing.prove", "pairing_not_found", "demo-web", pair.pairing_id, "refusals=1"),
    ]
