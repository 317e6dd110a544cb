"""When the local validator decides, what it remembers, and what it leaves to the server."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.hands import HandClock
from tests.support.tokens import ISSUER, KID, NOW, claims, der, entry, header, key, sign
from tests.support.waiting import patience
from tests.unit.crypto.builders import access, facts
from tokenservice import Decision, Principal, Source
from tokenservice._decisions.activity import SAMPLE_SECONDS
from tokenservice._decisions.local_validator import PRUNED, LocalValidator
from tokenservice._decisions.signatures import Keyring
from tokenservice._decisions.token_cache import TokenCache
from tokenservice._validator.assembled import AssembledValidator
from tokenservice.core import (
    AnchoredClock,
    KeyState,
    ParsedJwt,
    TrustEntryKind,
    TrustKey,
    TrustState,
    Verdict,
    seal_access,
)
from tokenservice.core.clock import SETTLED_SECONDS

PRIVATE = Ed25519PrivateKey.generate()
OPAQUE_KID = "0a0b0c0d"
KEYS = [
    key(public_key=der(PRIVATE.public_key())),
    TrustKey(OPAQUE_KID, "HS256", b"", server_only=True, state=KeyState.ACTIVE),
]
BOUND, OTHER = b"c" * 32, b"d" * 32


class Counting(Keyring):
    """Counts how often a signature is checked."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0

    def check(self, parsed: ParsedJwt, keys: Any) -> bool:
        self.checks += 1
        return super().check(parsed, keys)


class Here:
    """A local validator with a view of revision 100, and a token."""

    def __init__(self) -> None:
        self.hand = HandClock()
        self.trust = TrustState()
        self.trust.apply_snapshot("epoch", ISSUER, 100, self.hand.reading, KEYS, [])
        self.signatures = Counting()
        self.local = LocalValidator(
            trust=self.trust, clock=self.hand.clock, signatures=self.signatures
        )
        self.token = sign(PRIVATE, header(), claims())

    def decide(self, token: str | None = None, **demands: Any) -> Decision | None:
        token = self.token if token is None else token
        return self.local.try_local(token, demands.pop("audience", "orders"), **demands)

    def verdict(self, token: str | None = None, **demands: Any) -> Verdict | None:
        decision = self.decide(token, **demands)
        return None if decision is None else decision.verdict

    def delta(self, revision: int, *entries: Any) -> None:
        trust = self.trust
        trust.apply_delta("epoch", trust.revision, revision, self.hand.reading, entries)

    def go_stale(self) -> None:
        self.hand.advance(5.001)


@pytest.fixture
def here() -> Here:
    return Here()


def opaque(**changes: Any) -> str:
    fields = {
        "key_id": OPAQUE_KID,
        "issued_at": NOW,
        "expires_at": NOW + 300,
        "rev": 100,
        "audience_index": 0,
    }
    return seal_access(access(**{**fields, **changes}), b"the server's own")


def told(**changes: Any) -> Principal:
    """What the server answers about `opaque()`."""
    known = Principal.of(
        facts(
            issued_at=NOW,
            expires_at=NOW + 300,
            auth_time=1_799_999_000,
            acr="aal2",
            amr=("pwd", "app"),
            token_id="7d1d9a52-06f5-4d4e-9f43-0f7b6f0f3a11.3.0",
        )
    )
    return replace(known, **changes)


def learn(here: Here, token: str, confirmation: bytes = b"", max_age: float = 300.0) -> None:
    requirement = here.local.requirement("orders", confirmation=confirmation)
    here.local.learn(token, requirement, told(), here.hand.reading, max_age)


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


# --- stale, and the server does not answer ---


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
        {"max_auth_age": -1},
        {"max_auth_age": float("nan")},
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
    assert one == here.local.requirement("orders", {"a", "b"}, 5.0)


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
