"""The local validator at a real server: what it decides itself, and when it asks."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from tests.support.callers import Callers, Person
from tests.support.fixtures import LocalServer, StartApplication
from tests.support.validators import connection, validating
from tests.support.waiting import PATIENCE
from tests.support.world import ISSUER, World
from token_service.adapters.crypto.access_tokens import AccessTokenFactory
from tokenservice import ClientSecret, Decision, Source, SyncConnection, SyncValidator, Validator
from tokenservice._validator.answers import decision_of
from tokenservice.core import Verdict
from tokenservice.v1 import session_service_pb2 as sessions
from tokenservice.v1 import token_service_pb2 as pb

UNANSWERED = (Verdict.UNSPECIFIED, 503, Source.NONE)


@pytest_asyncio.fixture(loop_scope="session")
async def server(start_application: StartApplication) -> LocalServer:
    return await start_application(signing_algorithms=("EdDSA", "HS256"))


@pytest_asyncio.fixture(loop_scope="session")
async def callers(world: World, server: LocalServer) -> AsyncIterator[Callers]:
    async with Callers(world, server.address) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def validator(world: World, server: LocalServer) -> AsyncIterator[Validator]:
    async with validating(world, server.address) as ready:
        yield ready


@pytest_asyncio.fixture(loop_scope="session")
async def person(callers: Callers) -> Person:
    return await callers.new_person()


async def access_of(callers: Callers, person: Person, client: str) -> tuple[str, str]:
    """An access token and its session token (or the rolling one, twice)."""
    tokens = await callers.log_in(person, client)
    access = tokens.access_tokens[0].token
    return access, tokens.session_token or access


def answer(decision: Decision) -> tuple[Any, ...]:
    return (
        decision.verdict,
        decision.http_status,
        decision.www_authenticate,
        decision.principal,
    )


async def test_a_jwt_is_decided_here(
    callers: Callers, validator: Validator, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenservice._validator.assembled.FEED_SECONDS", 30.0)
    access, session = await access_of(callers, person, "web")
    decision = await validator.validate(access, audience="orders", scopes=["orders.read"])
    assert decision.active
    assert decision.source is Source.LOCAL
    assert decision.principal is not None
    assert decision.principal.subject == person.user_id
    revoked = await callers.web.revoke(token=session)
    refused = await validator.validate(access, audience="orders", min_revision=revoked.revision)
    assert refused.verdict is Verdict.REVOKED
    assert refused.source is Source.LOCAL  # the feed brings the revision, nobody is asked
    assert refused.revision >= revoked.revision


async def test_an_opaque_token_is_asked_about_once(
    callers: Callers, validator: Validator, person: Person
) -> None:
    access, session = await access_of(callers, person, "opaque")
    first = await asyncio.gather(
        *(validator.validate(access, audience="orders") for _ in range(20))
    )
    assert {one.source for one in first} == {Source.REMOTE}
    second = await validator.validate(access, audience="orders", scopes=["orders.write"])
    assert second.active
    assert second.source is Source.LOCAL
    assert second.principal == first[0].principal
    revoked = await callers.client("opaque").revoke(token=session)
    refused = await validator.validate(access, audience="orders", min_revision=revoked.revision)
    assert refused.verdict is Verdict.REVOKED


async def test_over_the_wire_both_say_the_same(
    callers: Callers, validator: Validator, person: Person
) -> None:
    """The same tokens and demands for both, before and after some were revoked."""
    tokens = ["", "x" * 9000, "a.b.c", "tsk_web_x"]
    for client in ("web", "opaque", "rolling"):
        for _ in range(2):
            access, session = await access_of(callers, person, client)
            tokens += [access, session, access[:-2], access[:-8] + "AAAAAAAA"]
    doomed = await callers.log_in(person, "web")
    tokens.append(doomed.access_tokens[0].token)
    demands = [
        {"audience": audience, "scopes": scopes, "max_auth_age": age, "acr": acr}
        for audience, scopes, (age, acr) in itertools.product(
            ("orders", "billing"),
            ((), ("orders.read",), ("orders.read", "nothing")),
            ((None, ""), (timedelta(0), ""), (timedelta(hours=1), "aal1"), (None, "aal2")),
        )
    ]
    asked = list(itertools.product(tokens, demands))[::5]
    revision = 0
    sources = set()
    for round_ in range(2):
        local = await asyncio.gather(
            *(validator.validate(t, min_revision=revision, **d) for t, d in asked)  # type: ignore[arg-type]
        )
        remote = await callers.gateway.tokens.BatchValidate(
            pb.BatchValidateRequest(requests=[message(t, d, revision) for t, d in asked[:256]]),
            metadata=callers.gateway.metadata,
        )
        for mine, theirs in zip(local, remote.responses, strict=False):
            assert answer(mine) == answer(decision_of(theirs, 0))
            sources.add((round_, mine.source))
        revision = (await callers.web.revoke(session_id=doomed.session_id)).revision
    assert {(0, Source.LOCAL), (0, Source.REMOTE), (1, Source.LOCAL)} <= sources


def message(token: str, demand: dict[str, Any], revision: int) -> pb.ValidateRequest:
    age: timedelta | None = demand["max_auth_age"]
    return pb.ValidateRequest(
        token=token,
        audience=demand["audience"],
        required_scopes=demand["scopes"],
        max_auth_age=None if age is None else Duration(seconds=age // timedelta(seconds=1)),
        required_acr=demand["acr"],
        min_revision=revision,
    )


async def test_what_the_server_does_not_answer_is_refused_and_says_why(
    callers: Callers, validator: Validator, person: Person
) -> None:
    access, _ = await access_of(callers, person, "opaque")
    good, impossible, foreign = await asyncio.gather(
        validator.validate(access, audience="orders"),
        validator.validate(access, audience="orders", min_revision=10**6),
        validator.validate(access, audience="not-ours"),
    )
    assert good.active
    for decision, reason in ((impossible, "revision_unknown"), (foreign, "audience_not_allowed")):
        assert (decision.verdict, decision.http_status, decision.source) == UNANSWERED
        assert decision.reason == reason


async def test_a_token_under_a_key_that_is_not_published_is_asked_about(
    callers: Callers, validator: Validator, server: LocalServer
) -> None:
    factory = AccessTokenFactory(server.application.parts.keyring, ISSUER)
    issued = await callers.own_session()
    plain = factory.authenticate_jwt(issued.access_tokens[0].token)
    access = factory.sign_jwt(plain, "HS256")
    first = await validator.validate(access, audience="orders")
    assert (first.verdict, first.source) == (Verdict.ACTIVE, Source.REMOTE)
    second = await validator.validate(access, audience="orders")
    assert (second.verdict, second.source) == (Verdict.ACTIVE, Source.LOCAL)
    forged = await validator.validate(access[:-6] + "AAAAAA", audience="orders")
    assert (forged.verdict, forged.source) == (Verdict.UNKNOWN, Source.REMOTE)


async def test_activity_seen_here_keeps_a_session_alive(
    world: World, callers: Callers, server: LocalServer, person: Person
) -> None:
    tokens = await callers.log_in(person)
    server.clock.advance(timedelta(minutes=4))
    async with validating(world, server.address) as validator:
        decision = await validator.validate(tokens.access_tokens[0].token, audience="orders")
        assert decision.active
    # Closing has reported it.
    request = sessions.GetSessionRequest(session_id=tokens.session_id)
    found = await callers.admin.sessions.GetSession(request, metadata=callers.admin.metadata)
    moved = found.session.last_activity_at.seconds - found.session.created_at.seconds
    assert 235 <= moved <= 250


async def test_threads_decide_by_themselves(
    world: World, callers: Callers, server: LocalServer, person: Person
) -> None:
    """What can be decided is decided on the calling thread, though the loop stands still."""
    jwt, _ = await access_of(callers, person, "web")
    opaque, _ = await access_of(callers, person, "opaque")
    credentials = ClientSecret("demo-gateway", world.clients["demo-gateway"])

    def work() -> list[Decision]:
        with (
            SyncConnection(server.address, credentials) as over,
            SyncValidator(over) as validator,
        ):
            assert validator.wait_ready(timedelta(seconds=PATIENCE))
            with ThreadPoolExecutor(8) as pool:

                def one(number: int) -> Decision:
                    return validator.validate((jwt, opaque)[number % 2], audience="orders")

                done = list(pool.map(one, range(400)))
                halted, go_on = threading.Event(), threading.Event()

                async def halt() -> None:
                    halted.set()
                    go_on.wait(PATIENCE)

                halting = validator.loop.submit(halt())
                halted.wait(PATIENCE)
                done += pool.map(one, range(400))
                go_on.set()
                halting.result(10)
            return done

    decisions = await asyncio.to_thread(work)
    assert {one.verdict for one in decisions} == {Verdict.ACTIVE}
    assert {one.source for one in decisions[400:]} == {Source.LOCAL}


async def test_a_caller_without_permission_validates_nothing(
    world: World, callers: Callers, server: LocalServer, person: Person
) -> None:
    """Neither follows the feed nor gets an answer, and stays closed."""
    access, _ = await access_of(callers, person, "web")
    async with (
        connection(world, server.address, "demo-web") as opened,
        Validator(opened) as validator,
    ):
        assert not await validator.wait_ready(timedelta(seconds=0.2))
        decision = await validator.validate(access, audience="orders")
        assert (decision.verdict, decision.http_status, decision.source) == UNANSWERED
        assert decision.reason == "permission_missing"


async def test_nothing_is_left_behind(
    world: World, callers: Callers, server: LocalServer, person: Person
) -> None:
    """Neither after closing nor after callers who gave up."""
    access, _ = await access_of(callers, person, "opaque")
    before = asyncio.all_tasks()
    async with validating(world, server.address) as validator:
        asking = asyncio.create_task(validator.validate(access, audience="orders"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert (await validator.validate(access, audience="orders")).active
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    assert {task for task in left if "tokenservice" in repr(task.get_coro())} == set()
    closed = await validator.validate(access + "x", audience="orders")
    assert not closed.active
