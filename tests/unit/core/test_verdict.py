from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tokens import KID, NOW, entry, facts, key, trust
from tokenservice.core import (
    Facts,
    KeyState,
    Requirement,
    TokenKind,
    TrustEffect,
    TrustEntry,
    TrustEntryKind,
    TrustState,
    Verdict,
    verdict,
)

PLAIN = Requirement("orders")


def judge(
    token: Facts,
    requirement: Requirement = PLAIN,
    now: float = NOW,
    state: TrustState | None = None,
) -> Verdict:
    return verdict(token, state if state is not None else trust(), requirement, now)


@pytest.mark.parametrize("kind", [TokenKind.ACCESS, TokenKind.ROLLING])
def test_a_good_token_is_active(kind: TokenKind) -> None:
    wanted = Requirement("orders", frozenset({"orders.read"}), 60.0, "aal1")
    assert judge(facts(kind=kind), wanted) is Verdict.ACTIVE


@pytest.mark.parametrize(
    "kind", [kind for kind in TokenKind if kind not in (TokenKind.ACCESS, TokenKind.ROLLING)]
)
def test_only_tokens_for_calls_are_good_for_calls(kind: TokenKind) -> None:
    assert judge(facts(kind=kind)) is Verdict.WRONG_KIND


def test_an_unknown_key_is_unknown_and_a_compromised_one_revoked() -> None:
    gone = entry(50, TrustEntryKind.KEY, KID)
    spared = entry(50, TrustEntryKind.KEY, KID, effect=TrustEffect.REISSUE)
    compromised = key(state=KeyState.COMPROMISED)
    assert judge(facts(), state=TrustState()) is Verdict.UNKNOWN
    assert judge(facts(), state=trust(keys=[])) is Verdict.UNKNOWN
    assert judge(facts(), state=trust(keys=[key(state=KeyState.RETIRED)])) is Verdict.UNKNOWN
    assert judge(facts(), state=trust([spared], keys=[])) is Verdict.UNKNOWN
    assert judge(facts(), state=trust([gone], keys=[])) is Verdict.REVOKED
    assert judge(facts(), state=trust([gone])) is Verdict.REVOKED
    assert judge(facts(), state=trust(keys=[compromised])) is Verdict.REVOKED


@pytest.mark.parametrize("audience", ["", "Orders", "orders ", "order", "orders2"])
def test_the_audience_is_compared_exactly(audience: str) -> None:
    assert judge(facts(), Requirement(audience)) is Verdict.WRONG_AUDIENCE


@pytest.mark.parametrize(
    ("bound", "presented", "expected"),
    [
        (b"", b"", Verdict.ACTIVE),
        (b"", b"a" * 32, Verdict.ACTIVE),
        (b"a" * 32, b"a" * 32, Verdict.ACTIVE),
        (b"a" * 32, b"", Verdict.BINDING_MISMATCH),
        (b"a" * 32, b"b" * 32, Verdict.BINDING_MISMATCH),
        (b"a" * 32, b"a" * 31, Verdict.BINDING_MISMATCH),
    ],
)
def test_a_bound_token_needs_its_certificate(
    bound: bytes, presented: bytes, expected: Verdict
) -> None:
    assert judge(facts(confirmation=bound), replace(PLAIN, confirmation=presented)) is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOW + 299.999, Verdict.ACTIVE),
        (NOW + 300, Verdict.EXPIRED),
        (NOW + 10_000, Verdict.EXPIRED),
        (NOW - 60, Verdict.ACTIVE),
        (NOW - 60.001, Verdict.UNKNOWN),
        (nan, Verdict.EXPIRED),
        (inf, Verdict.EXPIRED),
        (-inf, Verdict.UNKNOWN),
    ],
)
def test_a_token_is_good_from_its_issue_to_its_expiry(now: float, expected: Verdict) -> None:
    assert judge(facts(), now=now) is expected


@pytest.mark.parametrize(
    ("effect", "expected"),
    [(TrustEffect.REVOKE, Verdict.REVOKED), (TrustEffect.REISSUE, Verdict.EXPIRED)],
)
def test_the_log_is_obeyed(effect: TrustEffect, expected: Verdict) -> None:
    state = trust([entry(50, effect=effect)])
    assert judge(facts(rev=49), state=state) is expected
    assert judge(facts(rev=50), state=state) is Verdict.ACTIVE


@pytest.mark.parametrize(
    ("required", "expected"),
    [
        (set(), Verdict.ACTIVE),
        ({"orders.read"}, Verdict.ACTIVE),
        ({"orders.read", "orders.write"}, Verdict.ACTIVE),
        ({"orders.delete"}, Verdict.INSUFFICIENT_SCOPE),
        ({"orders.read", "orders.delete"}, Verdict.INSUFFICIENT_SCOPE),
        ({"orders"}, Verdict.INSUFFICIENT_SCOPE),
        ({""}, Verdict.INSUFFICIENT_SCOPE),
    ],
)
def test_all_required_scopes_must_be_there(required: set[str], expected: Verdict) -> None:
    assert judge(facts(), replace(PLAIN, scopes=frozenset(required))) is expected


@pytest.mark.parametrize(
    ("change", "auth_time", "expected"),
    [
        ({"max_auth_age": 60}, NOW - 60, Verdict.ACTIVE),
        ({"max_auth_age": 60}, NOW - 61, Verdict.STEP_UP_REQUIRED),
        ({"max_auth_age": 0}, NOW, Verdict.ACTIVE),
        ({"max_auth_age": 0}, NOW - 1, Verdict.STEP_UP_REQUIRED),
        ({"max_auth_age": 60}, NOW + 60, Verdict.ACTIVE),
        ({"max_auth_age": 60}, NOW + 61, Verdict.STEP_UP_REQUIRED),
        ({"max_auth_age": nan}, NOW, Verdict.STEP_UP_REQUIRED),
        ({"max_auth_age": None}, 0, Verdict.ACTIVE),
        ({"acr": "aal1"}, 0, Verdict.ACTIVE),
        ({"acr": "aal2"}, NOW, Verdict.STEP_UP_REQUIRED),
        ({"acr": "gold"}, NOW, Verdict.STEP_UP_REQUIRED),
        ({"max_auth_age": 60, "acr": "aal2"}, NOW, Verdict.STEP_UP_REQUIRED),
    ],
)
def test_step_up_goes_by_the_last_authentication(
    change: dict[str, Any], auth_time: int, expected: Verdict
) -> None:
    assert judge(facts(auth_time=auth_time), replace(PLAIN, **change)) is expected


def _wrong_kind(token: Facts, entries: list[TrustEntry]) -> Facts:
    return replace(token, kind=TokenKind.WEB_SESSION)


def _unknown_key(token: Facts, entries: list[TrustEntry]) -> Facts:
    return replace(token, key_id="fedcba9876543210")


def _wrong_audience(token: Facts, entries: list[TrustEntry]) -> Facts:
    return replace(token, audience="payments")


def _unbound(token: Facts, entries: list[TrustEntry]) -> Facts:
    return replace(token, confirmation=b"a" * 32)


def _expired(token: Facts, entries: list[TrustEntry]) -> Facts:
    return replace(token, expires_at=NOW)


def _premature(token: Facts, entries: list[TrustEntry]) -> Facts:
    return replace(token, issued_at=NOW + 61)


def _revoked(token: Facts, entries: list[TrustEntry]) -> Facts:
    entries.append(entry(50))
    return token


def _reissued(token: Facts, entries: list[TrustEntry]) -> Facts:
    entries.append(entry(51, effect=TrustEffect.REISSUE))
    return token


def _scopeless(token: Facts, entries: list[TrustEntry]) -> Facts:
    return replace(token, scopes=frozenset())


def _stale(token: Facts, entries: list[TrustEntry]) -> Facts:
    return replace(token, auth_time=0)


FAULTS = [
    (_wrong_kind, Verdict.WRONG_KIND),
    (_unknown_key, Verdict.UNKNOWN),
    (_wrong_audience, Verdict.WRONG_AUDIENCE),
    (_unbound, Verdict.BINDING_MISMATCH),
    (_expired, Verdict.EXPIRED),
    (_premature, Verdict.UNKNOWN),
    (_revoked, Verdict.REVOKED),
    (_reissued, Verdict.EXPIRED),
    (_scopeless, Verdict.INSUFFICIENT_SCOPE),
    (_stale, Verdict.STEP_UP_REQUIRED),
]


@given(st.sets(st.integers(0, len(FAULTS) - 1)))
def test_of_several_faults_the_first_in_the_documented_order_answers(chosen: set[int]) -> None:
    token, entries = facts(), list[TrustEntry]()
    for index in sorted(chosen):
        token = FAULTS[index][0](token, entries)
    wanted = Requirement("orders", frozenset({"orders.read"}), 3600.0)
    expected = FAULTS[min(chosen)][1] if chosen else Verdict.ACTIVE
    assert judge(token, wanted, state=trust(entries)) is expected
