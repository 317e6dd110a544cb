"""When the local validator decides, what it remembers, and what it leaves to the server."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.tokens import KID, NOW, claims, entry, header, sign
from tests.support.waiting import patience
from tests.unit.client.local import (
    KEYS,
    PRIVATE,
    Here,
    learn,
    opaque,
    told,
)
from tokenservice import Source
from tokenservice._decisions.activity import SAMPLE_SECONDS
from tokenservice._decisions.local_validator import PRUNED, LocalValidator
from tokenservice._decisions.token_cache import TokenCache
from tokenservice._validator.assembled import AssembledValidator
from tokenservice.core import (
    AnchoredClock,
    KeyState,
    TrustEntryKind,
    Verdict,
)
from tokenservice.core.clock import SETTLED_SECONDS


@pytest.fixture
def here() -> Here:
    return Here()


def test_the_signature_is_checked_once(here: Here) -> None:
    first = here.decide(scopes=("orders.read",))
    assert first is not None
    assert first.active
    assert first.source is Source.LOCAL
    assert first.revision == 100
    assert here.decide(scopes=["orders.write"]) is first
    assert here.verdict(scopes={"orders.admin"}) is Verdict.INSUFFICIENT_SCOPE
    assert here.verdict(audience="billing") is Verdict.WRONG_AUDIENCE
    assert here.signatures.checks == 1


def test_the_answer_is_of_the_newest_revision(here: Here) -> None:
    here.decide()
    here.delta(101)
    decision = here.decide()
    assert decision is not None
    assert decision.revision == 101


def test_everything_is_looked_at_on_every_request(here: Here) -> None:
    assert here.verdict() is Verdict.ACTIVE
    here.delta(101, entry(101, TrustEntryKind.SESSION, claims()["sid"]))
    assert here.verdict() is Verdict.REVOKED
    assert here.verdict(sign(PRIVATE, header(), claims(exp=NOW + 2))) is Verdict.REVOKED
    here.hand.advance(3)
    assert here.verdict(sign(PRIVATE, header(), claims(exp=NOW + 2))) is Verdict.EXPIRED


def test_a_key_that_was_compromised_kills_at_once_also_what_was_never_seen(here: Here) -> None:
    assert here.verdict() is Verdict.ACTIVE
    keys = [replace(KEYS[0], state=KeyState.COMPROMISED), KEYS[1]]
    here.trust.apply_delta("epoch", 100, 101, here.hand.reading, [], keys)
    here.local.keys_changed()
    assert here.verdict() is Verdict.REVOKED
    assert here.verdict(sign(PRIVATE, header(), claims(jti="another"))) is Verdict.REVOKED
    forged = sign(Ed25519PrivateKey.generate(), header(), claims())
    assert here.verdict(forged) is Verdict.REVOKED
    assert here.signatures.checks == 1


def test_an_unknown_key_is_not_asked_about(here: Here) -> None:
    token = sign(PRIVATE, header(kid="another"), claims())
    assert here.verdict(token) is Verdict.UNKNOWN
    keys = [*KEYS, replace(KEYS[0], kid="another")]
    here.trust.apply_delta("epoch", 100, 100, here.hand.reading, [], keys)
    here.local.keys_changed()
    assert here.verdict(token) is Verdict.ACTIVE


def test_a_forged_token_is_remembered_apart_and_briefly(here: Here) -> None:
    forged = sign(Ed25519PrivateKey.generate(), header(), claims())
    for _ in range(3):
        assert here.verdict(forged) is Verdict.UNKNOWN
    assert here.signatures.checks == 1
    assert len(here.local.cache) == 0
    here.hand.advance(1)
    assert here.verdict(forged) is Verdict.UNKNOWN
    assert here.signatures.checks == 2


def test_a_stale_view_decides_nothing_but_what_needs_no_view(here: Here) -> None:
    here.decide()
    here.go_stale()
    assert here.decide() is None
    assert here.decide(sign(PRIVATE, header(), claims(jti="new"))) is None
    assert here.decide(opaque()) is None
    assert here.verdict("nothing of ours") is Verdict.MALFORMED
    assert here.verdict("\ud800") is Verdict.MALFORMED
    assert not here.local.fresh


def test_before_the_first_snapshot_everything_is_asked_about() -> None:
    local = LocalValidator()
    assert local.try_local(Here().token, "orders") is None
    assert local.judge_stale(Here().token, local.requirement("orders"), 0) is None
    assert not local.fresh


def test_a_revision_that_is_not_reached_is_asked_about(here: Here) -> None:
    here.decide()
    assert here.verdict(min_revision=100) is Verdict.ACTIVE
    assert here.decide(min_revision=101) is None
    assert here.decide(opaque(), min_revision=101) is None
    here.delta(101)
    assert here.verdict(min_revision=101) is Verdict.ACTIVE


def test_without_a_clock_nothing_is_active(here: Here) -> None:
    local = LocalValidator(trust=here.trust, clock=AnchoredClock(lambda: here.hand.reading))
    decision = local.try_local(here.token, "orders")
    assert decision is not None
    assert decision.verdict is Verdict.EXPIRED


# --- opaque tokens ---


# --- stale, and the server does not answer ---


# --- the rest ---


def test_the_latest_use_is_told_once_in_an_interval(here: Here) -> None:
    activity, session = here.local.activity, claims()["sid"]

    def told() -> dict[str, float]:
        batch = activity.take(here.local.clock.now())
        activity.reported(batch, {})
        return batch

    for _ in range(4):
        here.decide()
        here.decide(audience="billing")
    assert told() == {session: NOW}
    here.hand.advance(SAMPLE_SECONDS - 1)
    here.decide()
    assert len(activity) == 0
    here.hand.advance(1)
    here.decide()
    assert told() == {}
    here.hand.advance(60 - SAMPLE_SECONDS)
    assert told() == {session: NOW + SAMPLE_SECONDS}
    assert here.local.known_session(here.token) == session


def test_known_sessions_are_those_that_were_good_lately(here: Here) -> None:
    token = opaque()
    assert here.local.known_session(token) == ""
    learn(here, token)
    here.decide(token)
    assert here.local.known_session(opaque(generation=4)) == told().session_id
    assert here.local.known_session("nothing") == ""


def test_upkeep_lets_go(here: Here) -> None:
    here.delta(101, entry(101, keep_until=NOW + 1.0))
    here.decide(sign(PRIVATE, header(), claims(exp=NOW + 1)))
    here.hand.advance(2)
    here.local.upkeep()
    assert len(here.local.cache) == 0
    assert len(here.trust.live_entries()) == 1  # the server's clock may be set back
    here.hand.advance(SETTLED_SECONDS)
    here.local.upkeep()
    assert here.trust.live_entries() == []


async def test_a_mass_of_revocations_that_ran_out_goes_bit_by_bit_without_a_pause(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenservice._validator.assembled.UPKEEP_SECONDS", 3_600.0)
    many = [entry(revision, keep_until=NOW + 1.0) for revision in range(101, 101 + 3 * PRUNED + 1)]
    here.delta(many[-1].revision, *many)
    here.hand.advance(SETTLED_SECONDS)
    assert here.local.upkeep()
    assert here.trust.size == 2 * PRUNED + 1
    async with AssembledValidator(here.local), patience():
        while here.trust.size:
            await asyncio.sleep(0)
    assert not here.local.upkeep()


def test_another_log_forgets_all_tokens(here: Here) -> None:
    here.decide()
    here.local.forget()
    here.decide()
    assert here.signatures.checks == 2


@pytest.mark.parametrize(
    "demand",
    [
        {"audience": ""},
        {"audience": 'quo"te'},
        {"audience": "a" * 129},
        {"scopes": "orders.read"},
        {"scopes": ["two words"]},
        {"scopes": [f"s{number}" for number in range(65)]},
        {"max_auth_age": timedelta(seconds=-1)},
        {"max_auth_age": timedelta(days=4000)},
        {"acr": "aal9"},
        {"confirmation": b"short"},
    ],
)
def test_a_demand_that_makes_no_sense_is_refused(here: Here, demand: dict[str, Any]) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="must"):
            here.decide(**demand)


def test_demands_are_bounded(here: Here) -> None:
    for number in range(5000):
        here.local.requirement(f"a{number}")
    assert len(here.local._requirements.known) <= 4096
    one = here.local.requirement("orders", ("b", "a"), timedelta(seconds=5))
    assert one == here.local.requirement("orders", {"a", "b"}, timedelta(seconds=5.0))


def test_nothing_shows_a_token(here: Here) -> None:
    decision = here.decide()
    assert decision is not None
    assert here.token not in repr(decision)
    assert here.token.rsplit(".", 1)[1] not in repr(vars(here.local))


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_the_limit_is_positive(limit: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        LocalValidator(staleness_limit=limit)


def test_junk_neither_fills_nor_flushes_the_cache(here: Here) -> None:
    local = LocalValidator(
        trust=here.trust,
        clock=here.hand.clock,
        signatures=here.signatures,
        cache=TokenCache(max_entries=10),
    )
    good = [sign(PRIVATE, header(), claims(jti=f"good{number}")) for number in range(10)]
    for token in good:
        local.try_local(token, "orders")
    forged = header(kid=KID)
    for number in range(200):
        body = claims(jti=f"junk{number}")
        local.try_local(sign(PRIVATE, forged, body)[:-4] + "AAAA", "orders")
        local.try_local(f"junk.{number}.x", "orders")
    checks = here.signatures.checks
    for token in good:
        decision = local.try_local(token, "orders")
        assert decision is not None
        assert decision.active
    assert here.signatures.checks == checks
    assert len(local.cache) == 10
