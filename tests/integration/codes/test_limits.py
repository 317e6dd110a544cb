"""Verification codes and whoever guesses at them; limits on issuing and on wrong codes."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.integration.codes.code_world import (
    ANA,
    BANK,
    COUPON,
    SHOP,
    VERIFICATION,
    Codes,
    wish,
    wrong,
)
from tests.support.node import Node, started
from token_service.domain.codes.decision import MAX_ATTEMPTS
from token_service.domain.errors import Reason, TokenServiceError
from token_service.usecases.codes.redeem import WrongCodeLimits

SECOND = timedelta(seconds=1)


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as node:
        yield node


@pytest.fixture
def codes(node: Node) -> Codes:
    return Codes(node)


async def test_five_wrong_guesses_close_a_recipient_for_right_ones_too(codes: Codes) -> None:
    issued = await codes.new(VERIFICATION)
    for _ in range(MAX_ATTEMPTS):
        assert await codes.guessed(wrong(issued.text)) == "CODE_UNKNOWN"
    assert await codes.guessed(wrong(issued.text)) == "ACCOUNT_LOCKED"
    assert await codes.guessed(issued.text) == "ACCOUNT_LOCKED"
    fresh = await codes.new(VERIFICATION)
    assert await codes.guessed(fresh.text) == "ACCOUNT_LOCKED"
    others = await codes.new(VERIFICATION, recipient="bob")
    assert await codes.tried(others.text, recipient="bob") == "ok"
    elsewhere = await codes.new(VERIFICATION, purpose="login")
    assert await codes.tried(elsewhere.text, purpose="login", recipient=ANA) == "ok"
    codes.move(minutes=15)
    last = await codes.new(VERIFICATION)
    assert await codes.guessed(last.text) == "ok"


async def test_guesses_are_counted_across_reissues_and_across_successes(codes: Codes) -> None:
    for left in reversed(range(MAX_ATTEMPTS)):
        issued = await codes.new(VERIFICATION)
        assert await codes.guessed(wrong(issued.text)) == "CODE_UNKNOWN"
        assert await codes.guessed(issued.text) == ("ok" if left else "ACCOUNT_LOCKED")


async def test_guesses_of_long_ago_do_not_count(codes: Codes) -> None:
    for _ in range(3):
        issued = await codes.new(VERIFICATION)
        for _ in range(MAX_ATTEMPTS - 1):
            assert await codes.guessed(wrong(issued.text)) == "CODE_UNKNOWN"
        codes.move(minutes=15)
    issued = await codes.new(VERIFICATION)
    assert await codes.guessed(issued.text) == "ok"


async def test_a_newer_code_replaces_the_older(codes: Codes, node: Node) -> None:
    older = await codes.new(VERIFICATION)
    newer = await codes.new(VERIFICATION)
    assert await codes.guessed(older.text) == "CODE_UNKNOWN"
    assert (await codes.administration.get(SHOP, older.code_id)).revoked_at is not None
    assert await codes.guessed(newer.text) == "ok"
    coupons = [await codes.new(COUPON, recipient=ANA) for _ in range(2)]
    for coupon in coupons:
        assert await codes.guessed(coupon.text) == "ok"


async def test_whatever_is_wrong_with_a_verification_code_looks_alike(codes: Codes) -> None:
    used = await codes.new(VERIFICATION, purpose="used")
    await codes.redeemed(used.text, purpose="used", recipient=ANA)
    revoked = await codes.new(VERIFICATION, purpose="revoked")
    await codes.administration.revoke(SHOP, revoked.code_id, "")
    expired = await codes.new(VERIFICATION, purpose="expired", ttl=SECOND)
    codes.move(seconds=1)
    seen = {
        await codes.guessed(one.text, purpose=purpose)
        for purpose, one in (("used", used), ("revoked", revoked), ("expired", expired))
    }
    assert seen == {"CODE_UNKNOWN"}
    assert await codes.tried(used.text, purpose="used") == "CODE_UNKNOWN"


async def test_too_many_codes_for_a_recipient_or_by_a_caller_are_refused(node: Node) -> None:
    codes = Codes(node.under(codes_per_recipient=2, codes_per_caller=4))

    async def refused() -> TokenServiceError:
        with pytest.raises(TokenServiceError) as caught:
            await codes.new(VERIFICATION)
        return caught.value

    first = await codes.new(VERIFICATION, request_id="r1")
    await codes.new(COUPON, recipient=ANA)
    error = await refused()
    assert (error.reason, error.retry_after) == (Reason.RATE_LIMITED, timedelta(minutes=10))
    assert await codes.new(VERIFICATION, request_id="r1") == first, "a retry is no other code"
    await codes.new(VERIFICATION, recipient="bob")
    await codes.new(COUPON)
    codes.move(minutes=9)
    assert (await refused()).reason is Reason.RATE_LIMITED
    await codes.issue(BANK, wish(VERIFICATION))
    codes.move(minutes=1)
    await codes.new(VERIFICATION)


async def test_too_many_wrong_codes_of_a_redeemer_or_caller_close_them(node: Node) -> None:
    codes = Codes(node, wrong_limits=WrongCodeLimits(redeemer=2, caller=5))
    issued = await codes.new(COUPON, max_uses=9)
    bad = wrong(issued.text)
    for expected in ("CODE_UNKNOWN", "CODE_UNKNOWN", "ACCOUNT_LOCKED"):
        assert await codes.tried(bad, redeemer="u1") == expected
    assert await codes.tried(issued.text, redeemer="u1") == "ACCOUNT_LOCKED"
    assert await codes.tried(issued.text, redeemer="u2", request_id="r1") == "ok"
    for expected in ("CODE_UNKNOWN", "CODE_UNKNOWN", "CODE_UNKNOWN", "ACCOUNT_LOCKED"):
        assert await codes.tried(bad) == expected
    assert await codes.tried(issued.text, redeemer="u3") == "ACCOUNT_LOCKED"
    assert await codes.tried(issued.text, redeemer="u2", request_id="r1") == "again"
    theirs = await codes.issue(BANK, wish())
    assert await codes.tried(theirs.text, BANK, redeemer="u1") == "ok"
    codes.move(minutes=5)
    assert await codes.tried(issued.text, redeemer="u3") == "ok"
    assert await codes.tried(issued.text, redeemer="u1") == "ACCOUNT_LOCKED"


async def test_a_guesser_does_not_learn_whether_a_code_was_sent(codes: Codes) -> None:
    await codes.new(VERIFICATION)
    sent = [await codes.guessed("no such code") for _ in range(MAX_ATTEMPTS + 2)]
    never = [await codes.tried("no such code", recipient="bob") for _ in range(MAX_ATTEMPTS + 2)]
    assert sent == never
    late = await codes.new(VERIFICATION, recipient="bob")
    assert await codes.tried(late.text, recipient="bob") == "ACCOUNT_LOCKED"
    codes.move(minutes=15)
    assert await codes.guessed("no such code") == "CODE_UNKNOWN"
