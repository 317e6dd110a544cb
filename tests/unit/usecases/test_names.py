"""Names in which nothing is invisible or fills in for a blank."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_service.domain.errors import Reason, TokenServiceError
from token_service.usecases.names import new_username, shown_name, visible

# One or more of each kind that is seen as nothing or as a blank, or turns what is beside it.
HIDDEN = {
    "Hangul fillers": "\u3164\u115f\u1160\uffa0",
    "blank pictures": "\u2800\U0001d159",
    "soft hyphen and joiners": "\u00ad\u034f\u200c\u200d\u2060",
    "Khmer inherent vowels": "\u17b4\u17b5",
    "variation selectors": "\u180b\u180c\u180d\u180f\ufe00\ufe0f\U000e0100\U000e01ef",
    "bidi controls": "\u061c\u200e\u200f\u202a\u202e\u2066\u2069",
    "zero width": "\u180e\u200b\ufeff",
    "invisible operators": "\u2061\u2062\u2063\u2064",
    "tags": "\U000e0001\U000e0020\U000e007f",
    "ignorable, though not assigned": "\u2065\ufff0\U000e0fff",
    "private use": "\ue000\uf8ff\U0010fffd",
    "not assigned": "\u0378\U0001fffe",
    "blanks of other sorts": "\u1680\u2028\u2029\u0085\t\n\0",
}
HIDDEN_ONE_BY_ONE = [
    pytest.param(one, id=f"{kind}-{ord(one):04X}") for kind, all_ in HIDDEN.items() for one in all_
]
BLANKS = "\u00a0\u2002\u2007\u200a\u202f\u205f\u3000 "


def client_name(text: str) -> str:
    return shown_name(text, "name")


def refused(check: Callable[[str], str], text: str) -> bool:
    try:
        check(text)
    except TokenServiceError as error:
        return error.reason is Reason.FIELD_INVALID and (len(text) < 3 or text not in str(error))
    return False


@pytest.mark.parametrize("hidden", HIDDEN_ONE_BY_ONE)
@pytest.mark.parametrize("check", [new_username, client_name])
def test_what_is_not_seen_is_no_part_of_a_name(check: Callable[[str], str], hidden: str) -> None:
    for text in (f"ada{hidden}", f"{hidden}ada", f"a{hidden}da", hidden):
        assert refused(check, text)


@pytest.mark.parametrize("blank", BLANKS)
def test_a_blank_is_one_blank_between_words(blank: str) -> None:
    assert refused(new_username, f"ada{blank}b")
    assert client_name(f"Ada{blank}Shop") == "Ada Shop"
    for text in (f"Ada{blank}{blank}Shop", f"{blank}Ada", f"Ada{blank}", blank):
        assert refused(client_name, text)


@pytest.mark.parametrize(
    "text", ["\u0301da", "a.\u0301", "a-\u093f", "\U0001e8d0", "x\u3002\u3099"]
)
@pytest.mark.parametrize("check", [new_username, client_name])
def test_a_mark_stands_on_a_letter(check: Callable[[str], str], text: str) -> None:
    assert refused(check, text)
    assert check("Jose\u0301").casefold() == "jos\u00e9"


@pytest.mark.parametrize(
    "name",
    [
        "ada@example.com",
        "o'brien+news",
        "joão.silva",
        "müller",
        "иван",
        "山田太郎",
        "ジョン・スミス",
        "क्षमा",
        "ไทย",
        "محمد",
        "אברהם",
        "김철수",
        "x" * 128,
    ],
)
def test_names_of_all_scripts_are_names(name: str) -> None:
    assert new_username(name) == name
    assert client_name(name) == name


@pytest.mark.parametrize("name", ["אבcd", "ada☃", "a\u00b7b", "a\u0661\u06f1b", "\u1100x"])
def test_what_the_username_profile_refuses(name: str) -> None:
    assert refused(new_username, name)


def test_a_clients_name_is_a_line_of_text() -> None:
    for name in (
        "Orders Batch",
        "Müller\u2019s Laden \u2013 Nord",
        "東京・店 (テスト)",
        "C++ & C#",
        "50 €",
    ):
        assert client_name(name) == name
    assert client_name("\uff21cme\u2122 \u2116\uff15") == "AcmeTM No5"
    for name in ("Shop 🦊", "Shop\u20dd", ""):
        assert refused(client_name, name)
    assert refused(client_name, "ﷺ" * 8), "the bound holds for what is stored"


@given(st.text(min_size=1, max_size=6))
def test_whatever_is_accepted_is_seen_and_has_one_spelling(text: str) -> None:
    for check in (new_username, client_name):
        if refused(check, text):
            continue
        name = check(text)
        assert check(name) == name
        assert unicodedata.is_normalized("NFKC", name)
        assert name.isprintable()
        assert not any(hidden in name for kind in HIDDEN.values() for hidden in kind)


@given(st.text(max_size=8))
def test_what_is_shown_has_nothing_that_is_not_seen(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    assert shown.replace("\u200d", "").replace("\ufe0f", "").isprintable()
    assert shown == " ".join(shown.split())


@given(st.text(st.characters(categories=["L", "N", "P", "Sm", "Sc"], max_codepoint=0x7FF)))
def test_what_is_seen_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_a_device_keeps_its_pictures_and_loses_its_joiners() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u2019s phone"
    heart = "\u2764\ufe0f\u200d\U0001f525"
    for name in (family, heart, "\U0001f44d\U0001f3fd\u200d"):
        assert visible(name) == name
    assert visible("Ana\u2019s\u00a0 iPhone\u200d \ufe0f") == "Ana\u2019s iPhone"
    assert visible("\u2068Ahmad\u2069\u200f PC\u3164") == "Ahmad PC"
    assert visible("\u3164\u200b\u200d") == ""
