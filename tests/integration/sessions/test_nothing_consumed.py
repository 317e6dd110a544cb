"""What cannot be made is found before anything is consumed: the token is still good afterwards.

The policies here are of a kind that no door lets in today; they stand for what was let in once,
or whose key went away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.support.node import ADMIN, APP, PASSWORD, Node, started
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import (
    SERVICE_AUDIENCE,
    AccessFormat,
    KeyPurpose,
    KeyState,
    Platform,
    TokenScheme,
)
from token_service.domain.sessions.session import Device
from token_service.usecases.login.client import ClientCredential
from token_service.usecases.login.issue import IssueRequest
from token_service.usecases.login.passwords import PasswordCredential
from token_service.usecases.login.reauthenticate import ReauthenticateRequest
from token_service.usecases.sessions.exchange import ExchangeRequest
from token_service.usecases.tokens.token_set import IssuedTokens
from token_service.usecases.users.administration import NewUser
from tokenservice.core.limits import MAX_ISSUER_LENGTH

pytestmark = pytest.mark.asyncio(loop_scope="session")

ISSUER = "https://".ljust(MAX_ISSUER_LENGTH, "i")
SHOP = "shop".ljust(64, "p")
CERTIFICATE = b"c" * 32
DEVICE = Device(device_id='"' * 128)
ROLES = tuple(
    f"role{number:02d}".ljust(48, "r") for number in range(18)
)  # more than any door lets in
# The rest is within its bounds; a token with all of it is not.
HUGE = replace(
    APP,
    audiences=("a" * 128,),
    scopes=frozenset({"orders.read", *(f"{number:02d}".ljust(64, "s") for number in range(63))}),
)
ROLLING = replace(APP, scheme=TokenScheme.ROLLING)
NO_KEY = replace(APP, signing_algorithm="ES256")
UNUSABLE = {
    "algorithm": (NO_KEY, Reason.KEY_STATE),
    "rolling algorithm": (replace(ROLLING, signing_algorithm="ES256"), Reason.KEY_STATE),
    "size": (HUGE, Reason.FIELD_INVALID),
    "rolling size": (replace(HUGE, scheme=TokenScheme.ROLLING), Reason.FIELD_INVALID),
}
Query = Callable[..., Awaitable[Any]]
unusable = pytest.mark.parametrize("kind", sorted(UNUSABLE))


@pytest_asyncio.fixture(loop_scope="session")
async def node(dsn: str) -> AsyncIterator[Node]:
    """A node with a user who may have every scope."""
    async with started(dsn, issuer=ISSUER) as one:
        for role in ROLES:
            audit = ADMIN.audit(one.clock.now(), "role.define")
            await one.parts.users.define_role(role, sorted(HUGE.scopes), audit)
        create = one.usecases.users.create
        await create(ADMIN, NewUser("ann", PASSWORD, ROLES))
        yield one


async def put_policy(node: Node, client_id: str, policy: ClientPolicy) -> None:
    """Past every check."""
    former = (await node.client(client_id)).policy
    audit = ADMIN.audit(node.clock.now(), "client.update_policy", target=client_id)
    assert await node.parts.clients.update_policy(
        client_id, policy, narrowed=False, audit=audit, former=former
    )
    await node.refresh()


async def count(node: Node, table: str) -> int:
    row = await node.database.fetchrow(f"SELECT count(*) FROM {table}")  # noqa: S608
    assert row is not None
    return int(row[0])


async def kept(node: Node) -> tuple[int, int, object]:
    """All that a consumed token would have changed."""
    rows = await node.database.fetchrow(
        "SELECT array_agg((session_id, generation, auth_time, last_active_at) ORDER BY session_id)"
        " FROM sessions"
    )
    assert rows is not None
    return await count(node, "sessions"), await count(node, "audit_log"), rows[0]


def with_other_idle(policy: ClientPolicy) -> ClientPolicy:
    """With which an exchange is not the plain one any more: it changes the idle lifetime."""
    own = replace(policy.lifetimes_for(Platform.WEB), idle=timedelta(minutes=20))
    return replace(policy, lifetimes={Platform.WEB: own})


async def log_in(node: Node, caller: Caller) -> IssuedTokens:
    credential = PasswordCredential("ann", PASSWORD)
    return await node.usecases.login.issue(
        caller,
        IssueRequest(
            credential=credential, platform=Platform.WEB, device=DEVICE, confirmation=CERTIFICATE
        ),
    )


def exchange_of(tokens: IssuedTokens, **request: Any) -> ExchangeRequest:
    token = tokens.session_token or tokens.access_tokens[0].token
    return ExchangeRequest(token=token, confirmation=CERTIFICATE, **request)


@unusable
async def test_issue_leaves_nothing_behind(node: Node, kind: str) -> None:
    policy, reason = UNUSABLE[kind]
    caller = await node.app(SHOP, APP)
    await put_policy(node, SHOP, policy)
    before = await kept(node)
    with pytest.raises(TokenServiceError) as refused:
        await log_in(node, caller)
    assert refused.value.reason is reason
    assert await kept(node) == before
    assert await count(node, "sessions") == 0


@pytest.mark.parametrize("kind", ["algorithm", "rolling algorithm", "size"])
@pytest.mark.parametrize("plain", [True, False])
async def test_a_refused_exchange_consumes_nothing(node: Node, kind: str, plain: bool) -> None:
    policy, reason = UNUSABLE[kind]
    usable = replace(policy, signing_algorithm="")
    if kind == "size":
        usable = replace(policy, access_format=AccessFormat.OPAQUE)
    caller = await node.app(SHOP, usable)
    tokens = await log_in(node, caller)
    await put_policy(node, SHOP, policy if plain else with_other_idle(policy))
    before = await kept(node)
    request = exchange_of(tokens, exchange_id=b"e" * 16)
    for _ in range(2):
        with pytest.raises(TokenServiceError) as refused:
            await node.usecases.sessions.exchange(caller, request)
        assert refused.value.reason is reason
    assert await kept(node) == before

    await put_policy(node, SHOP, usable)
    outcome = await node.usecases.sessions.exchange(caller, request)
    assert not outcome.replayed
    assert await node.audited("session.exchange") == 1


async def test_what_is_too_large_as_a_whole_can_be_had_in_part(node: Node) -> None:
    caller = await node.app(SHOP, replace(HUGE, access_format=AccessFormat.OPAQUE))
    tokens = await log_in(node, caller)
    await put_policy(node, SHOP, HUGE)
    request = exchange_of(tokens, scopes=("orders.read",))
    outcome = await node.usecases.sessions.exchange(caller, request)
    assert outcome.tokens.access_tokens[0].scopes == ("orders.read",)


@pytest.mark.parametrize("kind", ["algorithm", "size"])
async def test_a_refused_step_up_consumes_nothing(node: Node, kind: str) -> None:
    policy, reason = UNUSABLE[kind]
    usable = replace(policy, signing_algorithm="", access_format=AccessFormat.OPAQUE)
    caller = await node.app(SHOP, usable)
    tokens = await log_in(node, caller)
    await put_policy(node, SHOP, policy)
    before = await kept(node)
    request = ReauthenticateRequest(exchange_of(tokens), PasswordCredential("ann", PASSWORD))
    with pytest.raises(TokenServiceError) as refused:
        await node.usecases.login.reauthenticate(caller, request)
    assert refused.value.reason is reason
    assert await kept(node) == before

    await put_policy(node, SHOP, usable)
    assert not (await node.usecases.login.reauthenticate(caller, request)).replayed


async def test_exchanges_that_share_a_statement_are_each_judged_by_their_own_policy(
    node: Node,
) -> None:
    callers = [await node.app(name, APP) for name in ("one", "two")]
    held = [await log_in(node, caller) for caller in callers for _ in range(2)]
    await put_policy(node, "two", NO_KEY)
    outcomes = await asyncio.gather(
        *(
            node.usecases.sessions.exchange(callers[number // 2], exchange_of(tokens))
            for number, tokens in enumerate(held)
        ),
        return_exceptions=True,
    )
    reasons = [getattr(outcome, "reason", None) for outcome in outcomes]
    assert reasons == [None, None, Reason.KEY_STATE, Reason.KEY_STATE]
    assert await node.audited("session.exchange") == 2


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("purpose", [KeyPurpose.SIGNING, KeyPurpose.MINT, KeyPurpose.OPAQUE])
async def test_keys_that_go_away_during_the_write_still_make_the_answer(
    node: Node, purpose: KeyPurpose, plain: bool
) -> None:
    """What they make is dead, and reads so, when the key was compromised; but it is an answer."""
    form = AccessFormat.OPAQUE if purpose is KeyPurpose.OPAQUE else AccessFormat.JWT
    caller = await node.app(SHOP, replace(APP, access_format=form))
    tokens = await log_in(node, caller)
    if not plain:
        await put_policy(node, SHOP, with_other_idle(replace(APP, access_format=form)))
    keys = await node.parts.keys.all()
    gone = [replace(key, state=KeyState.COMPROMISED) for key in keys if key.purpose is purpose]
    others = [key for key in keys if key.purpose is not purpose]
    fetch = node.database.fetch, node.database.fetchrow

    def then_gone(query: Query) -> Query:
        async def run(statement: str, *args: object) -> Any:
            found = await query(statement, *args)
            if found and "UPDATE sessions" in statement:
                node.parts.keyring.load([*others, *gone])
            return found

        return run

    try:
        node.database.fetch, node.database.fetchrow = map(then_gone, fetch)  # type: ignore[method-assign, assignment]
        outcome = await node.usecases.sessions.exchange(caller, exchange_of(tokens))
    finally:
        node.database.fetch, node.database.fetchrow = fetch  # type: ignore[method-assign]
    assert outcome.tokens.session.generation == 2
    assert outcome.tokens.access_tokens[0].token
    with pytest.raises(TokenServiceError) as refused:  # and the key was away for good
        await node.usecases.sessions.exchange(caller, exchange_of(outcome.tokens))
    assert refused.value.reason in (Reason.KEY_STATE, Reason.TOKEN_REVOKED)


async def test_a_rolling_token_of_the_client_itself_for_this_service_is_exchanged(
    node: Node,
) -> None:
    caller = await node.app(SHOP, ROLLING)
    request = IssueRequest(
        credential=ClientCredential(), platform=Platform.API, audiences=(SERVICE_AUDIENCE,)
    )
    tokens = await node.usecases.login.issue(caller, request)
    for _ in range(2):
        tokens = (await node.usecases.sessions.exchange(caller, exchange_of(tokens))).tokens
        assert tokens.access_tokens[0].audience == SERVICE_AUDIENCE
