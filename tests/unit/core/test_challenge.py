import re
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenservice.core import Requirement, Verdict, challenge

PLAIN = Requirement("orders")
HEADER = re.compile(r'Bearer [a-z_]+="[!#-\[\]-~ ]*"(?:, [a-z_]+="[!#-\[\]-~ ]*")*')


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict.UNSPECIFIED,
        Verdict.MALFORMED,
        Verdict.UNKNOWN,
        Verdict.EXPIRED,
        Verdict.REVOKED,
        Verdict.WRONG_KIND,
        Verdict.WRONG_AUDIENCE,
        Verdict.BINDING_MISMATCH,
    ],
)
def test_tokens_that_are_no_good_all_look_alike(verdict: Verdict) -> None:
    demanding = Requirement("orders", frozenset({"a"}), 60.0, "aal2", b"x" * 32)
    for requirement in (PLAIN, demanding):
        assert challenge(verdict, requirement) == (401, 'Bearer error="invalid_token"')


def test_an_active_token_is_not_challenged() -> None:
    assert challenge(Verdict.ACTIVE, PLAIN) == (200, "")


def test_missing_scopes_are_named() -> None:
    requirement = Requirement("orders", frozenset({"write", "read"}))
    assert challenge(Verdict.INSUFFICIENT_SCOPE, requirement) == (
        403,
        'Bearer error="insufficient_scope", scope="read write"',
    )


@pytest.mark.parametrize(
    ("max_age", "acr", "rest"),
    [
        (300.0, "", ', max_age="300"'),
        (None, "aal2", ', acr_values="aal2"'),
        (0, "aal3", ', max_age="0", acr_values="aal3"'),
        (0.9, "", ', max_age="0"'),
        (-5.0, "", ', max_age="0"'),
        (1e30, "", ', max_age="2147483647"'),
        (inf, "", ""),
        (nan, "", ""),
        (None, "", ""),
    ],
)
def test_a_step_up_says_what_is_needed(max_age: float | None, acr: str, rest: str) -> None:
    requirement = Requirement("orders", frozenset(), max_age, acr)
    assert challenge(Verdict.STEP_UP_REQUIRED, requirement) == (
        401,
        'Bearer error="insufficient_user_authentication"' + rest,
    )


@given(
    st.sampled_from(Verdict),
    st.frozensets(st.text()),
    st.none() | st.floats(),
    st.text() | st.sampled_from(['"', "a\r\nSet-Cookie: x", "\\", "a b", "é", "a\n"]),
)
def test_nothing_can_be_injected(
    verdict: Verdict, scopes: frozenset[str], max_age: float | None, acr: str
) -> None:
    status, value = challenge(verdict, Requirement("orders", scopes, max_age, acr))
    assert status in (200, 401, 403)
    assert value == "" if verdict is Verdict.ACTIVE else HEADER.fullmatch(value)


@pytest.mark.parametrize("scope", ['a"b', "a\\", "a b", "a\nb", "a\n", "é", ""])
def test_a_scope_that_cannot_be_quoted_is_left_out(scope: str) -> None:
    requirement = Requirement("orders", frozenset({scope, "fine"}))
    assert challenge(Verdict.INSUFFICIENT_SCOPE, requirement) == (
        403,
        'Bearer error="insufficient_scope"',
    )
