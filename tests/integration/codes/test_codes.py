"""One-time codes on PostgreSQL: issued, redeemed, replayed, replaced, revoked, forgotten."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.codes.code_world import (
    ANA,
    BANK,
    COUPON,
    INVITATION,
    SHOP,
    VERIFICATION,
    Codes,
    wish,
    wrong,
)
from tests.support.node import Node, started
from tests.support.removing import removed
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import CodeKind, KeyPurpose, KeyState
from token_service.domain.ports import KeyChange

SECOND = timedelta(seconds=1)


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as node:
        yield node


@pytest.fixture
def codes(node: Node) -> Codes:
    return Codes(node)


async def test_a_coupon_is_redeemed_as_often_as_it_says(codes: Codes, node: Node) -> None:
    issued = await codes.new(COUPON, max_uses=2)
    first = await codes.redeemed(issued.text, redeemer="u1")
    assert (first.redemption.payload, first.redemption.uses_left) == (b"payload", 1)
    assert first.redemption.code_id == issued.code_id
    assert await codes.tried(issued.text, redeemer="u1") == "ok"
    assert await codes.tried(issued.text, redeemer="u2") == "CODE_USED_UP"
    record = await codes.administration.get(SHOP, issued.code_id)
    assert (record.uses, record.last_redeemed_at) == (2, node.clock.now())
    assert await node.audited("code.issue") == 1
    assert await node.audited("code.redeem") == 2


async def test_an_audit_row_says_who_did_what_and_never_the_code(codes: Codes, node: Node) -> None:
    issued = await codes.new(INVITATION, subject="team-7")
    await codes.redeemed(issued.text, redeemer="user-1")
    await codes.administration.revoke(SHOP, issued.code_id, "spent")
    rows = await node.database.fetch("SELECT * FROM audit_log WHERE action LIKE 'code.%'")
    told = [(r["action"], r["subject"], r["details"]) for r in rows]
    assert told == [
        ("code.issue", "team-7", "kind=invitation purpose=signup"),
        ("code.redeem", "user-1", "purpose=signup uses=1 of 1"),
        ("code.revoke", "", "note=spent"),
    ]
    assert {(r["actor"], r["target"], r["request_id"], r["address"]) for r in rows} == {
        ("shop", str(issued.code_id), "c1", "192.0.2.9")
    }
    assert issued.text not in str(rows)


async def test_the_times_of_a_coupon_hold(codes: Codes, node: Node) -> None:
    start = node.clock.now() + 60 * SECOND
    issued = await codes.new(COUPON, not_before=start, ttl=30 * SECOND, max_uses=9)
    assert issued.expires_at == start + 30 * SECOND
    assert await codes.tried(issued.text) == "CODE_NOT_YET_VALID"
    codes.move(seconds=60)
    assert await codes.tried(issued.text) == "ok"
    codes.move(seconds=29)
    assert await codes.tried(issued.text) == "ok"
    codes.move(seconds=1)
    assert await codes.tried(issued.text) == "CODE_EXPIRED"
    with pytest.raises(TokenServiceError) as caught:
        await codes.new(not_before=node.clock.now() + timedelta(days=3661))
    assert caught.value.field == "not_before"


@pytest.mark.parametrize("kind", [COUPON, INVITATION, VERIFICATION])
async def test_a_code_is_its_issuers_and_its_purposes(codes: Codes, kind: CodeKind) -> None:
    issued = await codes.new(kind)
    assert await codes.tried(issued.text, BANK, recipient=ANA) == "CODE_UNKNOWN"
    assert await codes.tried(issued.text, purpose="other", recipient=ANA) == "CODE_UNKNOWN"
    for attempt in (
        codes.administration.get(BANK, issued.code_id),
        codes.administration.revoke(BANK, issued.code_id, ""),
    ):
        with pytest.raises(TokenServiceError) as caught:
            await attempt
        assert caught.value.reason is Reason.CODE_UNKNOWN
    assert await codes.tried(issued.text, recipient=ANA) == "ok"


async def test_a_bound_coupon_is_its_recipients(codes: Codes) -> None:
    issued = await codes.new(COUPON, recipient=ANA)
    assert await codes.tried(issued.text) == "CODE_UNKNOWN"
    assert await codes.tried(issued.text, recipient="bob") == "CODE_UNKNOWN"
    assert await codes.guessed(issued.text) == "ok"
    free = await codes.new(COUPON)
    assert await codes.guessed(free.text) == "ok"


async def test_callers_without_the_permission_are_refused(codes: Codes) -> None:
    stranger = Caller("stranger")
    issued = await codes.new()
    for attempt in (
        codes.issue(stranger, wish()),
        codes.redeemed(issued.text, stranger),
        codes.administration.get(stranger, issued.code_id),
        codes.administration.revoke(stranger, issued.code_id, ""),
    ):
        with pytest.raises(TokenServiceError) as caught:
            await attempt
        assert caught.value.reason is Reason.PERMISSION_MISSING


async def test_a_revoked_code_is_over_and_revoking_it_again_succeeds(
    codes: Codes, node: Node
) -> None:
    issued = await codes.new(COUPON, max_uses=5)
    assert await codes.tried(issued.text) == "ok"
    revoked = await codes.administration.revoke(SHOP, issued.code_id, "")
    codes.move(seconds=1)
    again = await codes.administration.revoke(SHOP, issued.code_id, "")
    assert again.revoked_at == revoked.revoked_at is not None
    assert again.uses == 1
    assert await codes.tried(issued.text) == "CODE_REVOKED"
    assert await node.audited("code.revoke") == 1


async def test_the_same_redemption_gets_the_same_answer_whatever_happened_since(
    codes: Codes, node: Node
) -> None:
    issued = await codes.new(COUPON, max_uses=2)
    first = await codes.redeemed(issued.text, request_id="r1", redeemer="u1")
    assert await codes.tried(issued.text, request_id="r2", redeemer="u1") == "ok"
    await codes.administration.revoke(SHOP, issued.code_id, "")
    await rotate_pepper(node)
    codes.move(days=30)
    restarted = Codes(node)
    again = await restarted.redeemed(issued.text, request_id="r1", redeemer="u1")
    assert again.replayed
    same = replace(again.redemption, code_hash=first.redemption.code_hash)
    assert same == first.redemption
    assert (await codes.administration.get(SHOP, issued.code_id)).uses == 2
    assert await node.audited("code.redeem") == 2


async def test_a_request_id_is_one_request_of_one_caller(codes: Codes) -> None:
    issued, other = await codes.new(COUPON, max_uses=9), await codes.new(COUPON)
    assert await codes.tried(issued.text, request_id="r1", redeemer="u1") == "ok"
    for changes in (
        {"code": other.text},
        {"code": wrong(issued.text)},
        {"code": issued.text, "redeemer": "u2"},
        {"code": issued.text, "redeemer": ""},
        {"code": issued.text, "recipient": ANA},
        {"code": issued.text, "purpose": "other"},
    ):
        given = {"redeemer": "u1", "request_id": "r1", **changes}
        assert await codes.tried(**given) == "REQUEST_ID_USED"  # type: ignore[arg-type]
    assert (await codes.administration.get(SHOP, issued.code_id)).uses == 1
    assert (await codes.administration.get(SHOP, other.code_id)).uses == 0
    theirs = await codes.issue(BANK, wish(COUPON))
    assert await codes.tried(theirs.text, BANK, request_id="r1") == "ok"


async def test_a_failed_request_may_be_repeated_with_the_right_code(codes: Codes) -> None:
    issued = await codes.new(COUPON)
    assert await codes.tried(wrong(issued.text), request_id="r1") == "CODE_UNKNOWN"
    assert await codes.tried(issued.text, request_id="r1") == "ok"


@pytest.mark.parametrize("kind", [COUPON, INVITATION, VERIFICATION])
async def test_the_same_issue_gets_the_same_code(codes: Codes, node: Node, kind: CodeKind) -> None:
    first = await codes.new(kind, request_id="r1")
    await rotate_pepper(node)
    codes.move(minutes=5)
    assert await Codes(node).new(kind, request_id="r1") == first
    assert await codes.tried(first.text, recipient=ANA) == "ok"
    assert await codes.new(kind, request_id="r1") == first
    assert await codes.count("codes") == 1
    assert await node.audited("code.issue") == 1
    with pytest.raises(TokenServiceError) as caught:
        await codes.new(kind, request_id="r1", subject="other")
    assert caught.value.reason is Reason.REQUEST_ID_USED
    theirs = await codes.issue(BANK, wish(kind, request_id="r1"))
    assert theirs.code_id != first.code_id


async def test_without_a_request_id_each_issue_is_another_code(codes: Codes) -> None:
    made = {(await codes.new(COUPON)).text for _ in range(5)}
    assert len(made) == 5


async def test_codes_of_a_compromised_pepper_are_gone(codes: Codes, node: Node) -> None:
    issued = await codes.new(COUPON, request_id="r1")
    old = codes.secrets.active_pepper()
    await rotate_pepper(node)
    audit = SHOP.audit(node.clock.now(), "key.compromise")
    assert await node.parts.keys.change(
        [KeyChange(old, KeyState.RETIRING, KeyState.COMPROMISED)], audit
    )
    node.parts.keyring.load(await node.parts.keys.all())
    assert await codes.tried(issued.text) == "CODE_UNKNOWN"
    with pytest.raises(TokenServiceError) as caught:
        await codes.new(COUPON, request_id="r1")
    assert caught.value.reason is Reason.CODE_REVOKED


async def rotate_pepper(node: Node) -> None:
    """A new pepper takes over at once."""
    now = node.clock.now()
    [old] = [
        key
        for key in await node.parts.keys.all()
        if key.purpose is KeyPurpose.PEPPER and key.state is KeyState.ACTIVE
    ]
    audit = SHOP.audit(now, "key.rotate")
    new = node.parts.keyring.generate(
        KeyPurpose.PEPPER, old.algorithm, KeyState.ACTIVE, now, now + SECOND
    )
    await node.parts.keys.insert(new, audit)
    await node.parts.keys.change([KeyChange(old.kid, KeyState.ACTIVE, KeyState.RETIRING)], audit)
    node.parts.keyring.load(await node.parts.keys.all())
    assert node.parts.secrets.active_pepper() == new.kid


async def test_a_caller_that_goes_away_stops_nothing_halfway(codes: Codes) -> None:
    for milliseconds in (0, 1, 2, 4, 8):
        request = f"r{milliseconds}"
        issue = asyncio.ensure_future(codes.new(COUPON, request_id=request))
        await asyncio.wait([issue], timeout=milliseconds / 1000)
        issue.cancel()
        await asyncio.wait([issue])
        issued = await codes.new(COUPON, request_id=request)
        redeem = asyncio.ensure_future(codes.tried(issued.text, request_id=request))
        await asyncio.wait([redeem], timeout=milliseconds / 1000)
        redeem.cancel()
        await asyncio.wait([redeem])
        assert await codes.tried(issued.text, request_id=request) in ("ok", "again")
        assert (await codes.administration.get(SHOP, issued.code_id)).uses == 1


async def test_what_is_over_is_forgotten_in_time_and_redemptions_first(codes: Codes) -> None:
    now = codes.node.clock.now
    short = await codes.new(COUPON, ttl=60 * SECOND, max_uses=9)
    await codes.new(COUPON)
    for number in range(3):
        assert await codes.tried(short.text, request_id=f"r{number}") == "ok"
    codes.move(days=1, seconds=59)
    redemptions, forgotten = codes.store.removals
    assert [await removed(one, now()) for one in codes.store.removals] == [0, 0]
    assert await codes.tried(short.text, request_id="r0") == "again"
    codes.move(seconds=1)
    assert await removed(redemptions, now(), 2) == 2
    assert await removed(forgotten, now()) == 0
    assert (await codes.count("code_redemptions"), await codes.count("codes")) == (1, 2)
    assert await codes.tried(short.text, request_id="r2") in ("again", "CODE_EXPIRED")
    assert [await removed(one, now(), 2) for one in codes.store.removals] == [1, 1]
    assert (await codes.count("code_redemptions"), await codes.count("codes")) == (0, 1)
    assert await codes.tried(short.text, request_id="r2") == "CODE_UNKNOWN"
