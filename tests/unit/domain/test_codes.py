"""decide_redeem: every case of a presented code."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from token_service.domain.codes.decision import (
    MAX_ATTEMPTS,
    Code,
    CodeWish,
    Presented,
    Redeem,
    RedeemView,
    Redemption,
    Replay,
    Wrong,
    decide_redeem,
)
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import CodeKind

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HASH, OTHER_HASH = b"h" * 32, b"o" * 32
COUPON, INVITATION, VERIFICATION = CodeKind.COUPON, CodeKind.INVITATION, CodeKind.VERIFICATION
HELD = (COUPON, INVITATION)

CODE = Code(
    code_id=UUID("0b5c1a52-3c6b-4f4e-8c0e-8f6d5d1f9a11"),
    client_id="shop",
    kind=COUPON,
    purpose="sale",
    recipient="",
    subject="",
    max_uses=3,
    length=12,
    alphabet="01",
    payload=b"20%",
    created_at=NOW - SECOND,
    not_before=NOW - SECOND,
    expires_at=NOW + SECOND,
    code_hash=HASH,
    pepper_id="p1",
    request_id="",
    request_hash=b"",
)
PRESENTED = Presented(
    client_id="shop",
    purpose="sale",
    recipient="ana@example.com",
    redeemer="user-1",
    request_id="r1",
    hashes=(OTHER_HASH, HASH),
)
PAST = Redemption(
    code_id=CODE.code_id,
    code_hash=HASH,
    purpose="sale",
    recipient="ana@example.com",
    redeemer="user-1",
    uses_left=2,
    payload=b"20%",
)


def code(kind: CodeKind, **changes: Any) -> Code:
    bound = {"recipient": "ana@example.com", "max_uses": 1} if kind is VERIFICATION else {}
    return replace(CODE, kind=kind, **{**bound, **changes})


def decide(view: RedeemView, presented: Presented = PRESENTED, now: datetime = NOW) -> object:
    """The decision, or the reason of the refusal."""
    try:
        return decide_redeem(view, presented, now)
    except TokenServiceError as error:
        return error.reason


@pytest.mark.parametrize("kind", [COUPON, INVITATION, VERIFICATION])
def test_a_live_code_is_redeemed(kind: CodeKind) -> None:
    assert decide(RedeemView(code(kind))) == Redeem()


def test_a_code_that_is_not_there_is_wrong_and_nothing_counts_it() -> None:
    assert decide(RedeemView()) == Wrong(counted=False)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"revoked_at": NOW}, Reason.CODE_REVOKED),
        ({"not_before": NOW + SECOND / 2}, Reason.CODE_NOT_YET_VALID),
        ({"expires_at": NOW}, Reason.CODE_EXPIRED),
        ({"expires_at": NOW - SECOND}, Reason.CODE_EXPIRED),
        ({"uses": 3, "max_uses": 3}, Reason.CODE_USED_UP),
    ],
)
def test_who_holds_a_code_that_is_over_is_told_why_and_who_may_have_guessed_it_is_not(
    changes: dict[str, Any], reason: Reason
) -> None:
    for kind in HELD:
        assert decide(RedeemView(code(kind, **changes))) is reason
    assert decide(RedeemView(code(VERIFICATION, **changes))) == Wrong(counted=True)


@pytest.mark.parametrize("changes", [{"not_before": NOW}, {"expires_at": NOW + SECOND / 1000}])
def test_the_first_and_the_last_moment_count(changes: dict[str, Any]) -> None:
    for kind in (*HELD, VERIFICATION):
        assert decide(RedeemView(code(kind, **changes))) == Redeem()


@pytest.mark.parametrize("code_hash", [b"x" * 32, None])
def test_a_guess_is_counted_where_there_is_something_to_guess(code_hash: bytes | None) -> None:
    guessed = code(VERIFICATION, code_hash=code_hash)
    assert decide(RedeemView(guessed)) == Wrong(counted=True)


def test_a_bound_code_is_its_recipients() -> None:
    bound = code(COUPON, recipient="bob@example.com")
    assert decide(RedeemView(bound)) == Wrong(counted=False)
    assert decide(RedeemView(bound), replace(PRESENTED, recipient="")) == Wrong(counted=False)
    theirs = replace(PRESENTED, recipient="bob@example.com")
    assert decide(RedeemView(bound), theirs) == Redeem()


@pytest.mark.parametrize("hashes", [(HASH,), (OTHER_HASH,)])
def test_after_too_many_guesses_right_and_wrong_are_alike(hashes: tuple[bytes, ...]) -> None:
    presented = replace(PRESENTED, hashes=hashes)
    full = code(VERIFICATION, failures=MAX_ATTEMPTS, failures_until=NOW + SECOND)
    with pytest.raises(TokenServiceError) as caught:
        decide_redeem(RedeemView(full), presented, NOW)
    assert caught.value.reason is Reason.ACCOUNT_LOCKED
    assert caught.value.retry_after == SECOND


@pytest.mark.parametrize(
    ("failures", "until"), [(MAX_ATTEMPTS - 1, NOW + SECOND), (MAX_ATTEMPTS, NOW), (0, None)]
)
def test_before_that_and_after_it_the_right_one_is_redeemed(
    failures: int, until: datetime | None
) -> None:
    open_again = code(VERIFICATION, failures=failures, failures_until=until)
    assert decide(RedeemView(open_again)) == Redeem()


@pytest.mark.parametrize("view", [RedeemView(), RedeemView(CODE), RedeemView(code(VERIFICATION))])
def test_whoever_is_locked_out_learns_nothing(view: RedeemView) -> None:
    closed = replace(view, locked_until=NOW + SECOND)
    assert decide(closed) is Reason.ACCOUNT_LOCKED
    assert decide(replace(view, locked_until=NOW)) == decide(view)


def test_the_longer_of_two_locks_is_told() -> None:
    full = code(VERIFICATION, failures=MAX_ATTEMPTS, failures_until=NOW + 9 * SECOND)
    view = RedeemView(full, locked_until=NOW + 3 * SECOND)
    with pytest.raises(TokenServiceError) as caught:
        decide_redeem(view, PRESENTED, NOW)
    assert caught.value.retry_after == 9 * SECOND


@pytest.mark.parametrize(
    "view",
    [
        RedeemView(None, PAST),
        RedeemView(replace(CODE, uses=3), PAST),
        RedeemView(replace(CODE, revoked_at=NOW), PAST),
        RedeemView(CODE, PAST, NOW + SECOND),
    ],
)
def test_the_same_request_gets_the_same_answer_whatever_happened_since(view: RedeemView) -> None:
    assert decide(view) == Replay(PAST)


@pytest.mark.parametrize(
    "view",
    [
        RedeemView(None, PAST, NOW + SECOND),
        RedeemView(code(VERIFICATION), PAST, NOW + SECOND),
        RedeemView(code(VERIFICATION, failures=9, failures_until=NOW + SECOND), PAST),
    ],
)
def test_whoever_is_locked_out_does_not_learn_that_a_guess_was_right(view: RedeemView) -> None:
    assert decide(view) is Reason.ACCOUNT_LOCKED


@pytest.mark.parametrize("hashes", [(OTHER_HASH,), ()])
def test_another_code_with_a_used_id_counts_as_a_guess(hashes: tuple[bytes, ...]) -> None:
    presented = replace(PRESENTED, hashes=hashes)
    assert decide(RedeemView(CODE, PAST), presented) == Wrong(counted=False, id_used=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"recipient": ""},
        {"recipient": "bob@example.com"},
        {"redeemer": "user-2"},
        {"purpose": "other"},
    ],
)
def test_another_request_with_the_same_id_is_refused(changes: dict[str, Any]) -> None:
    presented = replace(PRESENTED, **changes)
    assert decide(RedeemView(CODE, PAST), presented) is Reason.REQUEST_ID_USED


WISH = CodeWish(
    kind=COUPON,
    purpose="sale",
    recipient="",
    subject="spring",
    max_uses=3,
    ttl=timedelta(days=1),
    not_before=NOW,
    length=12,
    alphabet="01",
    payload=b"20%",
    request_id="r1",
)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": INVITATION},
        {"purpose": "sales"},
        {"recipient": "ana"},
        {"subject": ""},
        {"max_uses": 4},
        {"ttl": timedelta(days=2)},
        {"not_before": None},
        {"not_before": NOW + SECOND},
        {"length": 13},
        {"alphabet": "012"},
        {"payload": b"30%"},
        {"purpose": "", "recipient": "sale"},
    ],
)
def test_a_wish_is_known_by_all_that_was_asked_for(changes: dict[str, Any]) -> None:
    assert replace(WISH, **changes).fingerprint() != WISH.fingerprint()


def test_a_wish_is_the_same_under_another_id() -> None:
    assert replace(WISH, request_id="r2").fingerprint() == WISH.fingerprint()


def test_no_secret_is_shown() -> None:
    shown = repr((CODE, PRESENTED, PAST))
    assert str(HASH) not in shown
    assert "20%" not in shown
