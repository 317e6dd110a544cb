import json
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.core.builders import (
    ISSUER,
    KID,
    NOW,
    SESSION,
    USER,
    b64,
    claims,
    header,
    jwt,
    rolling_claims,
)
from tokenservice.core import Facts, MalformedToken, TokenKind, UnknownToken, parse_jwt
from tokenservice.core.encoding import decode_base64url, encode_base64url

THUMBPRINT = bytes(range(32))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def malformed(token: str) -> None:
    with pytest.raises(MalformedToken):
        parse_jwt(token, ISSUER)


def test_an_access_token_is_read_whole() -> None:
    body = claims(
        roles=["buyer", "admin"],
        dev="Ann's phone",
        cnf={"x5t#S256": b64(THUMBPRINT)},
        amr=["pwd", "otp"],
    )
    token = jwt(header(), body, b"signature")
    parsed = parse_jwt(token, ISSUER)

    assert (parsed.kid, parsed.alg, parsed.exchange) == (KID, "EdDSA", None)
    assert parsed.signature == b"signature"
    assert parsed.signing_input == token.rpartition(".")[0].encode("ascii")
    assert parsed.facts == Facts(
        kind=TokenKind.ACCESS,
        subject=USER,
        client_id="web-shop",
        session_id=SESSION,
        device_id="Ann's phone",
        audience="orders",
        scopes=frozenset({"orders.read", "orders.write"}),
        roles=("buyer", "admin"),
        issued_at=NOW,
        expires_at=NOW + 300,
        auth_time=NOW - 60,
        acr="aal1",
        amr=("pwd", "otp"),
        token_id="R2FuWk4tT0xhQ1dJMWZ2Qg",
        key_id=KID,
        rev=10,
        confirmation=THUMBPRINT,
    )


def test_a_rolling_token_brings_its_exchange_authority() -> None:
    parsed = parse_jwt(jwt(header(typ="rolling+jwt"), rolling_claims()), ISSUER)
    assert parsed.facts.kind is TokenKind.ROLLING
    assert parsed.exchange == bytes(range(44))


def test_optional_claims_may_be_absent_and_scope_empty() -> None:
    facts = parse_jwt(jwt(header(), claims(scope="", amr=[])), ISSUER).facts
    assert (facts.device_id, facts.roles, facts.amr) == ("", (), ())
    assert (facts.scopes, facts.confirmation) == (frozenset(), b"")


def test_unknown_claims_are_ignored() -> None:
    plain = parse_jwt(jwt(header(), claims()), ISSUER).facts
    extended = claims(nonce="x", flags=[True, {"ratio": 0.5}])
    assert parse_jwt(jwt(header(), extended), ISSUER).facts == plain


def test_a_foreign_issuer_is_unknown_whatever_its_other_claims() -> None:
    for body in (claims(iss="https://other.example"), {"iss": "https://other.example"}):
        with pytest.raises(UnknownToken):
            parse_jwt(jwt(header(), body), ISSUER)


@pytest.mark.parametrize("issuer", [ISSUER + "/", ISSUER.upper(), ISSUER[:-1]])
def test_the_issuer_is_compared_exactly(issuer: str) -> None:
    with pytest.raises(UnknownToken):
        parse_jwt(jwt(header(), claims(iss=issuer)), ISSUER)


@pytest.mark.parametrize(
    "change",
    [
        {"alg": None},
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "eddsa"},
        {"alg": "ES384"},
        {"alg": ["EdDSA"]},
        {"alg": 1},
        {"kid": None},
        {"kid": ""},
        {"kid": 5},
        {"kid": "../../etc/passwd"},
        {"kid": "k' OR 1=1"},
        {"kid": "k" * 65},
        {"kid": "k\n"},
        {"typ": None},
        {"typ": "JWT"},
        {"typ": "AT+JWT"},
        {"typ": "application/at+jwt"},
        {"typ": ["at+jwt"]},
        {"jwk": {"kty": "OKP"}},
        {"jku": "https://keys.example"},
        {"x5u": "https://keys.example"},
        {"x5c": ["x"]},
        {"x5t": "x"},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"b64": True},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"enc": "A256GCM"},
        {"extra": 0},
    ],
)
def test_header_is_exactly_ours(change: dict[str, Any]) -> None:
    malformed(jwt(header(**change), claims()))


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in claims()),
        *({name: []} for name in claims() if name != "amr"),
        *({name: {}} for name in claims()),
        *({name: True} for name in claims()),
        *({name: NOW + 0.5} for name in claims()),
        *({name: "\ud800"} for name in claims()),
        {"iss": ""},
        {"sub": ""},
        {"sub": "a b"},
        {"sub": "a" * 256},
        {"sub": "a\x00b"},
        {"sub": "ünï"},
        {"aud": ["orders"]},
        {"aud": ""},
        {"aud": "a" * 256},
        {"client_id": "Web"},
        {"client_id": "-web"},
        {"client_id": "w" * 65},
        {"client_id": "web\n"},
        {"sid": SESSION.upper()},
        {"sid": SESSION.replace("-", "")},
        {"sid": SESSION + "0"},
        {"sid": "{" + SESSION + "}"},
        {"jti": ""},
        {"jti": "j" * 129},
        {"jti": "j j"},
        {"dev": ""},
        {"dev": "d" * 129},
        {"dev": "d\x00"},
        {"dev": "d\x7f"},
        {"dev": "\udfff"},
        {"dev": 1},
        {"scope": " "},
        {"scope": "a  b"},
        {"scope": " a"},
        {"scope": "a "},
        {"scope": "b a"},
        {"scope": "a a"},
        {"scope": 'a"b'},
        {"scope": "a\\b"},
        {"scope": "a\tb"},
        {"scope": "é"},
        {"scope": ["a"]},
        {"scope": " ".join(f"s{i:02}" for i in range(65))},
        {"roles": "admin"},
        {"roles": [1]},
        {"roles": [["admin"]]},
        {"roles": [""]},
        {"roles": ["a b"]},
        {"roles": ["a", "a"]},
        {"roles": ["r" * 65]},
        {"roles": [f"r{i}" for i in range(65)]},
        {"roles": {"admin": 1}},
        {"amr": "pwd"},
        {"amr": ["pwd", "pwd"]},
        {"amr": [None]},
        {"amr": [f"m{i}" for i in range(9)]},
        {"acr": ""},
        {"acr": "a" * 65},
        {"acr": 2},
        {"iat": -1},
        {"iat": str(NOW)},
        {"iat": float(NOW)},
        {"iat": 253_402_300_800},
        {"exp": NOW},
        {"exp": NOW - 1},
        {"exp": str(NOW + 300)},
        {"exp": 10**30},
        {"auth_time": -1},
        {"rev": -1},
        {"rev": 2**63},
        {"rev": "10"},
        {"cnf": {}},
        {"cnf": "x"},
        {"cnf": [b64(THUMBPRINT)]},
        {"cnf": {"jkt": b64(THUMBPRINT)}},
        {"cnf": {"x5t#S256": b64(THUMBPRINT), "jkt": "x"}},
        {"cnf": {"x5t#S256": b64(THUMBPRINT[:31])}},
        {"cnf": {"x5t#S256": b64(THUMBPRINT) + "="}},
        {"cnf": {"x5t#S256": 1}},
        {"xt": b64(bytes(44))},
        {"xt": ""},
    ],
    ids=lambda change: json.dumps(change)[:60],
)
def test_every_claim_has_its_type_and_range(change: dict[str, Any]) -> None:
    malformed(jwt(header(), claims(**change)))


@pytest.mark.parametrize("xt", [None, "", 5, b64(bytes(43)), b64(bytes(45)), b64(bytes(44)) + "="])
def test_a_rolling_token_needs_its_exchange_claim(xt: Any) -> None:
    malformed(jwt(header(typ="rolling+jwt"), rolling_claims(xt=xt)))


def test_ranges_end_where_they_say() -> None:
    body = claims(
        rev=2**63 - 1,
        iat=0,
        exp=253_402_300_799,
        auth_time=0,
        sub="s" * 255,
        dev="ü" * 128,
        scope=" ".join(f"s{i:02}" for i in range(64)),
        roles=[f"r{i}" for i in range(64)],
    )
    facts = parse_jwt(jwt(header(), body), ISSUER).facts
    assert (facts.rev, facts.issued_at, len(facts.scopes)) == (2**63 - 1, 0, 64)


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
    finally:
        sys.set_int_max_str_digits(limit)


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
    padding = "x" * 5400
    token = jwt(header(), claims(note=padding))
    assert len(token) < 8192
    parse_jwt(token, ISSUER)
    longer = jwt(header(), claims(note=padding + "x" * 1000))
    assert len(longer) > 8192
    malformed(longer)
    malformed(jwt(json.dumps(header())[:-1] + " " * 300 + "}", claims()))


def test_what_is_logged_holds_nothing_that_could_be_presented() -> None:
    token = jwt(header(typ="rolling+jwt"), rolling_claims())
    parsed = parse_jwt(token, ISSUER)
    for part in token.split("."):
        assert part not in repr(parsed)
    assert repr(bytes(range(44)))[2:-1] not in repr(parsed)


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
