import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.login.passwords import (
    canonical_password,
    canonical_username,
    new_password,
)


def refusal(check: Callable[[str, str], str], text: str) -> TokenServiceError | None:
    """What the check raises, None for an accepted text."""
    try:
        check(text, "some.field")
    except TokenServiceError as error:
        return error
    return None


def refused(check: Callable[[str, str], str], text: str) -> bool:
    error = refusal(check, text)
    if error is None:
        return False
    assert (error.reason, error.field) == (Reason.FIELD_INVALID, "some.field")
    assert text not in error.message or len(text) < 3
    return True


@pytest.mark.parametrize(
    "spelling",
    [
        "ada@example.com",
        "Ada@Example.COM",
        "\uff41\uff44\uff41@example.com",
        "\U0001d400da@example.com",
    ],
)
def test_names_that_look_the_same_are_the_same(spelling: str) -> None:
    assert canonical_username(spelling) == "ada@example.com"


def test_composed_and_decomposed_names_are_the_same() -> None:
    assert canonical_username("Jose\u0301") == canonical_username("JOS\u00c9") == "jos\u00e9"
    assert canonical_username("J\u030c") == canonical_username("\u01f0") == "\u01f0"
    assert canonical_username("Straße") == canonical_username("STRASSE")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 129,
        "\u00bc" * 43,  # one character that unfolds into three
        "ada lovelace",
        " ada",
        "ada\n",
        "ada\0",
        "ada\u00a0",
        "ada\u200b",
        "ada\u202e",
        "ada\ud800",
        "ada\ufeff",
        "ada\U000e0001",
    ],
)
def test_unusable_names_are_refused(text: str) -> None:
    assert refused(canonical_username, text)


@given(st.text(max_size=140))
def test_a_canonical_name_is_its_own_canonical_name(text: str) -> None:
    if not refused(canonical_username, text):
        name = canonical_username(text)
        assert canonical_username(name) == name
        assert canonical_username(text.casefold()) == name
        assert unicodedata.is_normalized("NFKC", name)
        assert 1 <= len(name) <= 128


@pytest.mark.parametrize(
    "text", ["", "p" * 1025, "é" * 513, "good pass\0", "tab\tinside", "line\nbreak", "\ud800 pass"]
)
def test_unusable_passwords_are_refused(text: str) -> None:
    assert refused(canonical_password, text)
    assert refused(new_password, text)


def test_passwords_are_bounded_by_bytes_above_and_characters_below() -> None:
    for good in ("p" * 8, "p" * 1024, "é" * 512, "pass word", "ключ1234", "🔑" * 8):
        assert new_password(good) == good
    for short in ("p" * 7, "é" * 7, "\u1112\u1161\u11ab" * 7):  # three code points, one syllable
        assert refused(new_password, short)
        assert not refused(canonical_password, short)


def test_a_password_is_the_same_however_it_was_typed() -> None:
    assert canonical_password("Jose\u0301 12345") == canonical_password("Jos\u00e9 12345")
    assert canonical_password("\uff50\uff41\uff53\uff53 word") == "pass word"
    assert canonical_password("Case Matters") != canonical_password("case matters")


@given(st.text(min_size=8, max_size=64))
def test_nothing_is_cut_off(text: str) -> None:
    if not refused(canonical_password, text):
        longer = canonical_password(text + "x")
        assert longer != canonical_password(text)
        assert canonical_password(longer) == longer
