import json
from typing import Any

import pytest

from tests.support.tokens import (
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

THUMBPRINT = bytes(range(32))


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


def test_what_is_logged_holds_nothing_that_could_be_presented() -> None:
    token = jwt(header(typ="rolling+jwt"), rolling_claims())
    parsed = parse_jwt(token, ISSUER)
    for part in token.split("."):
        assert part not in repr(parsed)
    assert repr(bytes(range(44)))[2:-1] not in repr(parsed)
