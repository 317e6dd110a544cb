"""One spelling for all that people take to be the same code, and alphabets that allow it."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_service.domain.codes.text import (
    DIGITS,
    MAX_CODE_CHARACTERS,
    RULES,
    UNAMBIGUOUS,
    canonical_code,
    canonical_recipient,
    checked_spelling,
)
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import CodeKind

CODES = st.text(UNAMBIGUOUS, min_size=1, max_size=32)
SEPARATORS = " -_.,/:\u00b7\u2013\u2014\u00a0\u200b"


def fullwidth(text: str) -> str:
    """As East Asian keyboards type it."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


def arabic(digits: str) -> str:
    return "".join(chr(0x660 + int(digit)) for digit in digits)


LOOKS = {"0": "0Oo" + arabic("0") + fullwidth("0"), "1": "1IiLl" + arabic("1") + fullwidth("I")}


def field_of(error: pytest.ExceptionInfo[TokenServiceError]) -> str:
    assert error.value.reason is Reason.FIELD_INVALID
    return error.value.field


@pytest.mark.parametrize(
    "typed",
    [
        "7K3M9XQ2O1",
        "7k3m-9xq2-0l",
        "  7K3M 9XQ2 oI \n",
        "7k3m\u20139xq2\u2014" + fullwidth("oi"),
        "7.K.3.M/9.X.Q.2_0.1",
        fullwidth("7K3M9XQ201"),
        "\u200b7K3M9XQ2\u00ad01",
        f"{arabic('7')}K{arabic('3')}M{arabic('9')}XQ{arabic('201')}",
        "7\u1e313m9xq201",
    ],
)
def test_what_people_type_is_the_code_that_they_mean(typed: str) -> None:
    assert canonical_code(typed) == "7K3M9XQ201"


@given(code=CODES, data=st.data())
def test_no_way_of_typing_a_code_makes_another_of_it(code: str, data: st.DataObject) -> None:
    typed = ""
    for character in code:
        looks = LOOKS.get(character, character + character.lower())
        typed += data.draw(st.sampled_from(looks))
        typed += data.draw(st.text(SEPARATORS, max_size=1))
    assert canonical_code(typed) == code


@given(st.text(min_size=1, max_size=MAX_CODE_CHARACTERS))
def test_the_form_is_final(text: str) -> None:
    code = form_of(text)[:MAX_CODE_CHARACTERS]
    assert form_of(code) == code
    assert not code or code.isalnum()


def form_of(text: str) -> str:
    """The canonical form, or nothing for what has none."""
    try:
        return canonical_code(text)
    except TokenServiceError:
        return ""


@given(one=CODES, other=CODES)
def test_different_codes_stay_different(one: str, other: str) -> None:
    assert (canonical_code(one) == canonical_code(other)) == (one == other)


@pytest.mark.parametrize("text", ["", " ", "- - -", "!", "a\0b", "a\tb", "\x7f1", "1" * 129])
def test_what_is_no_code_is_refused(text: str) -> None:
    with pytest.raises(TokenServiceError) as caught:
        canonical_code(text)
    assert field_of(caught) == "code"


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("", ""),
        (" Ana@Example.COM", "ana@example.com"),
        (fullwidth("ANA"), "ana"),
        ("+1 555 1", "+1 555 1"),
    ],
)
def test_recipients_have_one_spelling(given_: str, kept: str) -> None:
    assert canonical_recipient(given_) == kept


@pytest.mark.parametrize("text", [" ", "a\0b", "a\nb", "x" * 257, "ﷺ" * 200, "a\u202eb"])
def test_what_is_no_recipient_is_refused(text: str) -> None:
    with pytest.raises(TokenServiceError) as caught:
        canonical_recipient(text)
    assert field_of(caught) == "recipient"


@pytest.mark.parametrize("kind", RULES)
def test_defaults_are_good_enough_for_their_own_rules(kind: CodeKind) -> None:
    rules = RULES[kind]
    assert checked_spelling(kind, 0, "") == (rules.length, rules.alphabet)
    assert canonical_code(rules.alphabet) == rules.alphabet


@pytest.mark.parametrize(
    ("kind", "length", "alphabet", "field"),
    [
        (CodeKind.VERIFICATION, 5, "", "length"),
        (CodeKind.VERIFICATION, 13, "", "length"),
        (CodeKind.VERIFICATION, 8, UNAMBIGUOUS, "alphabet"),
        (CodeKind.VERIFICATION, 8, "012345", "alphabet"),
        (CodeKind.COUPON, 7, "", "length"),
        (CodeKind.COUPON, 12, DIGITS, "length"),
        (CodeKind.COUPON, 65, "", "length"),
        (CodeKind.COUPON, 2**32 - 1, "", "length"),
        (CodeKind.COUPON, 64, "A", "length"),
        (CodeKind.COUPON, 20, "ABCA", "alphabet"),
        (CodeKind.COUPON, 20, "abcA", "alphabet"),
        (CodeKind.INVITATION, 20, "ABC0O", "alphabet"),
        (CodeKind.INVITATION, 20, string.ascii_uppercase, "alphabet"),  # I and L look alike
        (CodeKind.INVITATION, 20, "ABC-", "alphabet"),
        (CodeKind.INVITATION, 20, "ABÇ", "alphabet"),
        (CodeKind.INVITATION, 20, "AB\0", "alphabet"),
        (CodeKind.INVITATION, 20, UNAMBIGUOUS * 100, "alphabet"),
    ],
)
def test_what_is_easy_to_guess_or_to_misread_is_refused(
    kind: CodeKind, length: int, alphabet: str, field: str
) -> None:
    with pytest.raises(TokenServiceError) as caught:
        checked_spelling(kind, length, alphabet)
    assert field_of(caught) == field


@pytest.mark.parametrize(
    ("kind", "length", "alphabet"),
    [
        (CodeKind.VERIFICATION, 6, ""),
        (CodeKind.VERIFICATION, 12, DIGITS),
        (CodeKind.COUPON, 8, ""),
        (CodeKind.COUPON, 13, DIGITS),
        (CodeKind.INVITATION, 40, "ab"),
        (CodeKind.INVITATION, 10, "abcdefghjkmnpqrstvwxyz"),
    ],
)
def test_what_is_hard_to_guess_is_accepted(kind: CodeKind, length: int, alphabet: str) -> None:
    assert checked_spelling(kind, length, alphabet)[0] == length
