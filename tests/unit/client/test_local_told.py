"""What a local validator makes of what the server told, and of a view that is too old."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.tokens import NOW, claims, entry, header, sign
from tests.unit.client.local import BOUND, OPAQUE_KID, OTHER, PRIVATE, Here, learn, opaque, told
from tokenservice.core import (
    TrustEntryKind,
    Verdict,
)


@pytest.fixture
def here() -> Here:
    return Here()


def test_what_the_server_told_is_used_until_its_time_is_over(here: Here) -> None:
    token = opaque()
    assert here.decide(token) is None
    learn(here, token, max_age=20)
    decision = here.decide(token)
    assert decision is not None
    assert decision.principal == told()
    assert here.verdict(token, scopes=["orders.admin"]) is Verdict.INSUFFICIENT_SCOPE
    assert here.verdict(token, acr="aal3") is Verdict.STEP_UP_REQUIRED
    here.hand.advance(4)
    here.delta(101)
    here.hand.advance(16)
    here.delta(102)
    assert here.decide(token) is None
    assert here.decide(token, scopes=["orders.admin"]) is None


def test_a_time_of_nothing_is_not_kept(here: Here) -> None:
    learn(here, opaque(), max_age=0)
    assert len(here.local.cache) == 0


@pytest.mark.parametrize(
    "killer",
    [
        entry(101, TrustEntryKind.SESSION, told().session_id),
        entry(101, TrustEntryKind.SUBJECT, told().subject),
        entry(101, TrustEntryKind.CLIENT, told().client_id),
        entry(101, TrustEntryKind.TOKEN, told().token_id),
        entry(101, TrustEntryKind.KEY, OPAQUE_KID),
        entry(101, TrustEntryKind.EVERYTHING, ""),
    ],
)
def test_the_feed_ends_it_at_once(here: Here, killer: Any) -> None:
    token = opaque()
    learn(here, token)
    assert here.verdict(token) is Verdict.ACTIVE
    here.delta(101, killer)
    assert here.verdict(token) is Verdict.REVOKED


def test_what_was_issued_after_a_revocation_survives_it(here: Here) -> None:
    """Its own revision is written in it, whatever the server's answer was made from."""
    token = opaque(rev=101)
    learn(here, token)
    here.delta(101, entry(101, TrustEntryKind.SUBJECT, told().subject))
    assert here.verdict(token) is Verdict.ACTIVE


def test_an_answer_that_does_not_fit_the_token_is_not_kept(here: Here) -> None:
    requirement = here.local.requirement("orders")
    for odd in (told(session_id="x"), told(expires_at=NOW + 301), told(token_id="y")):
        here.local.learn(opaque(), requirement, odd, here.hand.reading, 300)
    assert len(here.local.cache) == 0


def test_a_binding_that_is_not_sure_is_asked_about(here: Here) -> None:
    token = opaque()
    learn(here, token, confirmation=BOUND)
    assert here.verdict(token, confirmation=BOUND) is Verdict.ACTIVE
    assert here.decide(token, confirmation=OTHER) is None
    learn(here, token)  # it was good without one, too: it is not bound
    assert here.verdict(token, confirmation=OTHER) is Verdict.ACTIVE


def test_an_opaque_token_of_no_known_key_is_not_asked_about(here: Here) -> None:
    assert here.verdict(opaque(key_id="0000aaaa")) is Verdict.UNKNOWN
    assert here.verdict(opaque()[:-1] + "A") is Verdict.MALFORMED


def test_what_was_checked_here_is_not_replaced_by_what_was_told(here: Here) -> None:
    here.decide()
    requirement = here.local.requirement("orders")
    decision = here.decide()
    assert decision is not None
    assert decision.principal is not None
    here.local.learn(here.token, requirement, decision.principal, here.hand.reading, 1)
    here.hand.advance(2)
    assert here.verdict() is Verdict.ACTIVE


def test_a_route_may_accept_until_expiry(here: Here) -> None:
    requirement = here.local.requirement("orders")
    here.decide()
    here.go_stale()
    for token in (here.token, sign(PRIVATE, header(), claims(jti="new"))):
        decision = here.local.judge_stale(token, requirement, 0)
        assert decision is not None
        assert decision.active
        assert decision.reason == "stale"
        assert here.local.judge_stale(token, requirement, 101) is None
    here.hand.advance(300)
    expired = here.local.judge_stale(here.token, requirement, 0)
    assert expired is not None
    assert expired.verdict is Verdict.EXPIRED


def test_what_the_old_view_knows_still_refuses(here: Here) -> None:
    here.delta(101, entry(101, TrustEntryKind.SESSION, claims()["sid"]))
    here.go_stale()
    decision = here.local.judge_stale(here.token, here.local.requirement("orders"), 0)
    assert decision is not None
    assert decision.verdict is Verdict.REVOKED


def test_what_is_not_known_or_was_never_checked_is_not_accepted(here: Here) -> None:
    requirement = here.local.requirement("orders")
    here.go_stale()
    for token in (
        opaque(),
        sign(PRIVATE, header(kid="newer"), claims()),
        sign(Ed25519PrivateKey.generate(), header(), claims()),
    ):
        assert here.local.judge_stale(token, requirement, 0) is None


def test_a_view_that_is_known_to_be_wrong_accepts_nothing(here: Here) -> None:
    here.decide()
    here.trust.distrust()
    assert here.decide() is None
    assert here.local.judge_stale(here.token, here.local.requirement("orders"), 0) is None
