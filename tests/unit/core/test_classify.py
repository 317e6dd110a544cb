import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tokens import claims, header, jwt
from tokenservice.core import (
    MAX_TOKEN_LENGTH,
    Form,
    Shape,
    TokenKind,
    format_opaque,
    seal_session,
    shape_of,
)

SESSION_TOKEN = seal_session("web", "00000001", b"k" * 32, bytes(16), 1)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("web", TokenKind.WEB_SESSION),
        ("mob", TokenKind.MOBILE_SESSION),
        ("api", TokenKind.API_SESSION),
    ],
)
def test_session_tokens_are_told_by_kind(code: str, kind: TokenKind) -> None:
    token = seal_session(code, "00000001", b"k" * 32, bytes(16), 1)
    assert shape_of(token) == Shape(Form.SESSION, kind)


def test_a_session_token_need_not_be_authentic_to_be_one() -> None:
    assert shape_of(format_opaque("web", bytes(44))).form is Form.SESSION


def test_access_tokens_and_credentials_are_told_apart() -> None:
    assert shape_of(format_opaque("acc", bytes(71))) == Shape(Form.OPAQUE_ACCESS)
    assert shape_of(format_opaque("cs", bytes(32))) == Shape(Form.CREDENTIAL)
    assert shape_of(format_opaque("rs", bytes(32))) == Shape(Form.CREDENTIAL)


def test_three_parts_are_a_jwt() -> None:
    assert shape_of(jwt(header(), claims())) == Shape(Form.JWT)


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        "abc",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        '{"payload":"","signatures":[]}',
        "ä.b.c",
        "\ud800.b.c",
        "tsk_",
        "tsk_web_",
        "tsk_new_" + "A" * 64,
        "TSK" + SESSION_TOKEN[3:],
        SESSION_TOKEN[:-1],
        SESSION_TOKEN + "A",
        SESSION_TOKEN + "\n",
        " " + SESSION_TOKEN,
        "a.b." + "c" * MAX_TOKEN_LENGTH,
    ],
)
def test_everything_else_is_malformed(token: str) -> None:
    assert shape_of(token) == Shape(Form.MALFORMED)


def test_the_longest_token_is_still_looked_at() -> None:
    assert shape_of("a.b." + "c" * (MAX_TOKEN_LENGTH - 4)).form is Form.JWT


@given(st.one_of(st.text(), st.text(alphabet="tsk_webmobapiacc.=-A/+ ")))
def test_classifying_never_raises(text: str) -> None:
    assert shape_of(text).form in (Form.MALFORMED, Form.JWT)
