"""Validate: whoever asks, it is the use case that looks at permission, audience and freshness."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.unit.client.server_side import session
from tests.unit.trust_log import KEY, HandClock, Log
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission
from token_service.domain.sessions.session import Session
from token_service.usecases.tokens.activity import ActivityRecorder
from token_service.usecases.tokens.identity_cache import IdentityCache
from token_service.usecases.tokens.validate import Question, Validate, opaque_facts
from tokenservice.core import Facts, OpaqueAccess, Requirement, Verdict, seal_access

if TYPE_CHECKING:
    from collections.abc import Callable

GATEWAY = Caller(
    "gateway",
    ClientPolicy(
        permissions=frozenset({Permission.TOKENS_VALIDATE}),
        protects_audiences=frozenset({"orders"}),
    ),
)
ORDERS = Requirement("orders")
JWT = "a.b.c"


class Tokens:
    """Authenticates one JWT and every opaque token, for the session of `server_side`."""

    def __init__(self, now: float) -> None:
        self.access = OpaqueAccess(
            key_id="00000001",
            session_id=str(session().session_id),
            generation=3,
            audience_index=0,
            scope_mask=1,
            issued_at=int(now),
            expires_at=int(now) + 300,
            rev=0,
            auth_time=int(now),
            acr=1,
            amr=1,
        )
        self.opaque = seal_access(self.access, bytes(32))

    def authenticate_jwt(self, token: str) -> Facts:
        assert token == JWT
        facts = opaque_facts(self.access, session())
        assert facts is not None
        return facts

    def authenticate_opaque(self, token: str) -> OpaqueAccess:
        assert token == self.opaque
        return self.access


class World:
    """The use case with a trust log that tests write, and a store that tests make slow."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.log = Log(self.clock)
        self.tokens = Tokens(self.clock.seconds)
        self.log.keys = [replace(KEY, kid=self.tokens.access.key_id)]
        self.while_loading: Callable[[], None] = lambda: None
        self.validate = Validate(
            tokens=cast("Any", self.tokens),
            sessions=cast("Any", self),
            trust=self.log.feed,
            clock=cast("Any", self.clock),
            activity=ActivityRecorder(
                cast("Any", None), cast("Any", None), cast("Any", self.clock)
            ),
            cache=IdentityCache(),
        )

    async def load(self, session_id: str, generation: int) -> Session:
        assert (session_id, generation) == (str(session().session_id), 3)
        self.while_loading()
        return session()

    async def load_many(self, wanted: dict[str, int]) -> dict[str, Session]:
        return {key: await self.load(key, generation) for key, generation in wanted.items()}


@pytest.fixture
async def world() -> World:
    made = World()
    await made.log.refresh()
    return made


async def refused(world: World, caller: Caller, *questions: Question) -> tuple[Reason, str]:
    """Why and about which field, asked for many."""
    with pytest.raises(TokenServiceError) as caught:
        await world.validate.many(caller, questions)
    return caught.value.reason, caught.value.field


async def refused_alone(world: World, caller: Caller, asked: Question) -> tuple[Reason, str]:
    """The same, asked for one."""
    with pytest.raises(TokenServiceError) as caught:
        await world.validate(caller, *asked)
    return caught.value.reason, caught.value.field


@pytest.mark.parametrize("form", ["jwt", "opaque"])
async def test_an_answer_says_what_it_was_made_with(world: World, form: str) -> None:
    token = JWT if form == "jwt" else world.tokens.opaque
    world.log.revoke("another session")
    answer = await world.validate(GATEWAY, token, ORDERS, 1)
    assert answer.verdict is Verdict.ACTIVE
    assert answer.identified is not None
    assert answer.identified.facts.subject == session().subject
    assert (answer.requirement, answer.revision, answer.now) == (ORDERS, 1, world.clock.seconds)
    assert await world.validate.many(GATEWAY, [Question(token, ORDERS)]) == [answer]


async def test_what_is_no_token_of_ours_is_answered_without_an_identity(world: World) -> None:
    answer = await world.validate(GATEWAY, "junk", ORDERS)
    assert (answer.verdict, answer.identified) == (Verdict.MALFORMED, None)


async def test_a_caller_needs_the_permission(world: World) -> None:
    without = replace(GATEWAY, policy=replace(GATEWAY.policy, permissions=frozenset()))
    asked = Question(JWT, ORDERS)
    assert await refused_alone(world, without, asked) == (Reason.PERMISSION_MISSING, "")
    assert await refused(world, without, asked) == (Reason.PERMISSION_MISSING, "")


async def test_a_caller_asks_for_audiences_that_it_protects(world: World) -> None:
    good, foreign = Question(JWT, ORDERS), Question(JWT, Requirement("billing"))
    await world.validate(GATEWAY, *good)
    assert await refused_alone(world, GATEWAY, foreign) == (Reason.AUDIENCE_NOT_ALLOWED, "audience")
    field = "requests[1].audience"
    assert await refused(world, GATEWAY, good, foreign) == (Reason.AUDIENCE_NOT_ALLOWED, field)


async def test_a_token_that_is_known_is_not_answered_for_from_a_stale_view(world: World) -> None:
    asked = Question(JWT, ORDERS)
    await world.validate(GATEWAY, *asked)
    world.clock.seconds += 60
    world.log.down = True
    assert await refused_alone(world, GATEWAY, asked) == (Reason.STORE_UNAVAILABLE, "")
    assert await refused(world, GATEWAY, asked) == (Reason.STORE_UNAVAILABLE, "")
    world.log.down = False
    world.log.revoke(str(session().session_id))
    answer = await world.validate(GATEWAY, *asked)
    assert (answer.verdict, answer.revision) == (Verdict.REVOKED, 1)


async def test_a_revocation_while_a_session_is_loaded_is_seen(world: World) -> None:
    def pass_time() -> None:
        world.clock.seconds += 60
        world.log.revoke(str(session().session_id))

    world.while_loading = pass_time
    assert (await world.validate.judge(world.tokens.opaque, ORDERS)).verdict is Verdict.REVOKED


async def test_no_answer_is_older_than_the_revision_that_the_caller_names(world: World) -> None:
    world.log.revoke(str(session().session_id))
    assert (await world.validate(GATEWAY, JWT, ORDERS)).verdict is Verdict.ACTIVE
    assert (await world.validate(GATEWAY, JWT, ORDERS, 1)).verdict is Verdict.REVOKED
    ahead = Question(JWT, ORDERS, 2)
    expected = (Reason.REVISION_UNKNOWN, "min_revision")
    assert await refused_alone(world, GATEWAY, ahead) == expected
    assert await refused(world, GATEWAY, Question(JWT, ORDERS), ahead) == expected
