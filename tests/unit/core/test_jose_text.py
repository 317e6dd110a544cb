import json
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.tokens import ISSUER, b64, claims, header, jwt
from tokenservice.core import MalformedToken, UnknownToken, parse_jwt
from tokenservice.core.tokens.encoding import decode_base64url, encode_base64url

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def malformed(token: str) -> None:
    with pytest.raises(MalformedToken):
        parse_jwt(token, ISSUER)


def test_names_may_not_occur_twice_at_any_depth() -> None:
    body = json.dumps(claims())
    malformed(jwt(header(), body[:-1] + ', "aud": "payments"}'))
    malformed(jwt(header(), body[:-1] + ', "note": {"a": 1, "a": 1}}'))
    malformed(jwt(header(), body[:-1] + ', "note": [{"a": 1, "\\u0061": 1}]}'))
    head = json.dumps(header())
    malformed(jwt(head[:-1] + ', "alg": "EdDSA"}', claims()))


@pytest.mark.parametrize(
    "text",
    [
        '{"note": NaN}',
        '{"note": Infinity}',
        '{"note": -Infinity}',
        '{"note": 1e999}',
        '{"note": -1e999}',
        '{"iat": 1e9}',
        '{"note": "\t"}',
        '{"note": 01}',
        "{'note': 1}",
        '{"note": 1,}',
        '{"note": 1} ',
        ' {"note": 1}',
        '{"note": 1}{}',
        "[]",
        '"text"',
        "1",
        "null",
        "",
        "{",
        "{}",
        '{"note": ' + "9" * 5000 + "}",
        '{"note": -' + "9" * 5000 + "}",
        '{"note": ' + "[" * 3000 + "]" * 3000 + "}",
        '{"note": ' + '{"a":' * 900 + "1" + "}" * 900 + "}",
        "[" * 6000,
    ],
    ids=lambda text: text[:24],
)
def test_json_is_read_strictly(text: str) -> None:
    whole = json.dumps(claims())
    merged = whole[:-1] + ", " + text[1:] if text.startswith('{"note"') else text
    malformed(jwt(header(), merged))
    malformed(jwt(text, claims()))


def test_a_huge_number_is_refused_even_where_the_interpreter_would_convert_it() -> None:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        body = json.dumps(claims(rev=0))
        parse_jwt(jwt(header(), body), ISSUER)
        malformed(jwt(header(), body.replace('"rev": 0', '"rev": ' + "9" * 5000)))
        malformed(jwt(header(), body[:-1] + ', "note": ' + "9" * 5000 + "}"))
    finally:
        sys.set_int_max_str_digits(limit)


@pytest.mark.parametrize("digits", [19, 20])
@pytest.mark.parametrize("sign", ["", "-"])
def test_an_integer_is_written_in_twenty_characters_at_the_most(digits: int, sign: str) -> None:
    """Whatever another language's parser, or this one's settings, would convert."""
    body = json.dumps(claims())
    number = sign + "9" * digits
    token = jwt(header(), body[:-1] + f', "note": {number}}}')
    if len(number) <= 20:
        parse_jwt(token, ISSUER)
    else:
        malformed(token)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + json.dumps(claims()).encode(),
        json.dumps(claims()).encode("utf-16"),
        json.dumps(claims()).encode("utf-32"),
        json.dumps(claims(dev="DEVICE")).encode().replace(b"DEVICE", b"\xc0\xaf"),
        json.dumps(claims(dev="DEVICE")).encode().replace(b"DEVICE", b"\xed\xa0\x80"),
        json.dumps(claims(dev="DEVICE")).encode().replace(b"DEVICE", b"\xff"),
    ],
)
def test_text_is_strict_utf_8(data: bytes) -> None:
    malformed(jwt(header(), data))


def test_there_are_exactly_three_parts() -> None:
    token = jwt(header(), claims())
    first, second, third = token.split(".")
    for changed in (
        "",
        ".",
        "..",
        first,
        f"{first}.{second}",
        f"{first}.{second}.",
        f"{first}..{third}",
        f".{second}.{third}",
        f"{token}.",
        f".{token}",
        f"{token}.{third}",
        f"{token}.x.y",
        f"{token}~",
        json.dumps({"protected": first, "payload": second, "signature": third}),
    ):
        malformed(changed)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("junk", ["=", "==", " ", "\n", "\t", "+", "/", "\x00", "é", "\ud800"])
def test_each_part_is_canonical_base64url(index: int, junk: str) -> None:
    parts = jwt(header(), claims()).split(".")
    for changed in (parts[index] + junk, junk + parts[index], parts[index][:-1] + junk):
        malformed(".".join((*parts[:index], changed, *parts[index + 1 :])))


def test_trailing_bits_of_the_last_character_count() -> None:
    token = jwt(header(), claims(), b"\x01" * 64)
    assert token.endswith("AQ")
    parse_jwt(token, ISSUER)
    for last in "RSf":  # decode to the same bytes for a forgiving decoder
        malformed(token[:-1] + last)


def test_size_is_bounded_before_anything_is_decoded() -> None:
    unsigned = jwt(header(), claims(note="x" * 4000), b"")
    room = 8192 - len(unsigned)
    assert room % 4 == 2, "so that the signature is canonical with one character more, too"
    parse_jwt(unsigned + "A" * room, ISSUER)
    malformed(unsigned + "A" * (room + 1))


def test_the_header_is_bounded_too() -> None:
    head = json.dumps(header())
    padded = head[:-1] + " " * (192 - len(head)) + "}"
    parse_jwt(jwt(padded, claims()), ISSUER)
    malformed(jwt(padded[:-1] + " }", claims()))


@given(st.text())
@example("\ud800\ud800.a.b")
def test_random_text_never_crashes(text: str) -> None:
    malformed(text)


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=100))
def test_random_bytes_never_crash(head: bytes, body: bytes, signature: bytes) -> None:
    malformed(f"{b64(head)}.{b64(body)}.{b64(signature)}")
    malformed(jwt(header(), body, signature))


@given(st.dictionaries(st.sampled_from([*claims(), "roles", "dev", "cnf", "xt"]), json_values))
def test_random_claims_never_crash(changes: dict[str, Any]) -> None:
    try:
        parse_jwt(jwt(header(), {**claims(), **changes}), ISSUER)
    except (MalformedToken, UnknownToken) as refused:
        assert str(refused)  # noqa: PT017 - either outcome is right, a crash is not


@given(st.data())
def test_a_changed_character_never_gives_the_same_token(data: st.DataObject) -> None:
    token = jwt(header(), claims())
    original = parse_jwt(token, ISSUER)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda c: c != token[at]))
    try:
        changed = parse_jwt(token[:at] + other + token[at + 1 :], ISSUER)
    except (MalformedToken, UnknownToken):
        return
    assert (changed.signing_input, changed.signature) != (
        original.signing_input,
        original.signature,
    )


@given(st.binary(max_size=100))
def test_base64url_survives_the_round_trip(data: bytes) -> None:
    text = encode_base64url(data)
    assert text == b64(data)
    assert decode_base64url(text) == data


@given(st.text(alphabet="AZaz09-_+/= \n", max_size=12))
def test_what_decodes_has_one_spelling(text: str) -> None:
    try:
        data = decode_base64url(text)
    except MalformedToken:
        return
    assert encode_base64url(data) == text
