"""The quick reader of claims: it reads what the server writes, and nothing differently."""

import json
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.support.tokens import ISSUER, KID, NOW, b64, claims, rolling_claims
from tests.unit.crypto.test_access import any_facts
from token_service.adapters.crypto.access_tokens import _claims
from tokenservice.core import Facts, MalformedToken, TokenError, TokenKind
from tokenservice.core.tokens.jose import _read
from tokenservice.core.tokens.usual_claims import read_usual

Read = tuple[Facts, bytes | None] | type[TokenError] | None

ORDER = (
    *("iss", "sub", "aud", "exp", "iat", "jti", "client_id", "sid", "scope", "auth_time", "acr"),
    *("amr", "rev", "roles", "dev", "cnf", "xt"),
)
WITH_ALL = {"roles": ["a", "b"], "dev": "my browser", "cnf": {"x5t#S256": b64(b"c" * 32)}}


def document(members: dict[str, Any], **spelling: Any) -> bytes:
    """The claims as the server orders and spells them."""
    ordered = {name: members[name] for name in ORDER if name in members}
    return json.dumps(ordered, separators=(",", ":"), **spelling).encode()


def quick(data: bytes, kind: TokenKind = TokenKind.ACCESS, issuer: str = ISSUER) -> Read:
    try:
        return read_usual(data, kind, KID, issuer)
    except TokenError as error:
        return type(error)


def general(data: bytes, kind: TokenKind = TokenKind.ACCESS, issuer: str = ISSUER) -> Read:
    try:
        return _read(data, kind, KID, issuer)
    except TokenError as error:
        return type(error)


@given(any_facts())
def test_what_the_server_writes_is_read_alike(written: Facts) -> None:
    exchange = b"x" * 44 if written.kind is TokenKind.ROLLING else b""
    data = json.dumps(_claims(written, ISSUER, exchange), separators=(",", ":")).encode()
    assert quick(data, written.kind) in (None, general(data, written.kind))


@pytest.mark.parametrize("members", [claims(), claims(**WITH_ALL), claims(amr=[], scope="")])
def test_the_usual_is_read_quickly(members: dict[str, Any]) -> None:
    read = quick(document(members))
    assert isinstance(read, tuple)
    assert read == general(document(members))
    assert quick(document(members), TokenKind.ROLLING) is MalformedToken
    assert quick(document(members), issuer="https://other.example") == general(
        document(members), issuer="https://other.example"
    )


@pytest.mark.parametrize("name", ["exp", "iat", "auth_time"])
@pytest.mark.parametrize("seconds", [NOW, NOW + 300, 253_402_300_799, 253_402_300_800])
def test_times_have_the_same_bounds(name: str, seconds: int) -> None:
    data = document(claims(**{name: seconds}))
    assert quick(data) == general(data)
    assert quick(data) is not None


def test_a_rolling_token_is_read_quickly_too() -> None:
    data = document(rolling_claims())
    read = quick(data, TokenKind.ROLLING)
    assert isinstance(read, tuple)
    assert read == general(data, TokenKind.ROLLING)
    assert quick(data) is MalformedToken


ODD: list[Any] = [
    *(0, -1, 1.0, True, None, 10**18, 10**19, 253_402_300_799, 253_402_300_800),
    *("", " ", "a", "a b", "b a", "a a", "a  b", 'quo"te', "back\\slash", "\u00e9", "\x00", "\n"),
    *("a" * 64, "a" * 65, "a" * 128, "a" * 129, "a" * 255, "a" * 256, "A-_." * 10),
    *([], ["a"], ["a", "a"], ["a"] * 2, ["", "b"], ['a","b'], ["a" * 65], [1], "[]", {}),
    *([str(number) for number in range(count)] for count in (8, 9, 64, 65)),
    *({"x5t#S256": b64(b"c" * size)} for size in (31, 32, 33)),
    *({"x5t#S256": "A" * 42 + "B"}, {"jkt": "x"}, b64(b"x" * 43), b64(b"x" * 44), "A" * 58 + "B"),
]


@settings(max_examples=300)
@given(
    st.sampled_from([claims(), claims(**WITH_ALL), rolling_claims(**WITH_ALL)]),
    st.lists(st.tuples(st.sampled_from(ORDER), st.sampled_from(ODD)), max_size=2),
    st.sampled_from([TokenKind.ACCESS, TokenKind.ROLLING]),
)
def test_odd_claims_are_read_alike(
    members: dict[str, Any], changes: list[tuple[str, Any]], kind: TokenKind
) -> None:
    data = document({**members, **dict(changes)}, ensure_ascii=False)
    read = quick(data, kind)
    event("left alone" if read is None else "read" if isinstance(read, tuple) else "refused")
    assert read in (None, general(data, kind))


@settings(max_examples=300)
@given(st.data())
def test_odd_spellings_are_read_alike(data: st.DataObject) -> None:
    """Some bytes of a usual document changed, doubled, or taken away."""
    text = bytearray(document(claims(**WITH_ALL)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        width = data.draw(st.integers(0, 12))
        put = data.draw(st.one_of(st.just(bytes(text[at : at + width]) * 2), st.binary(max_size=2)))
        text[at : at + width] = put
        if not text:
            return
    read = quick(bytes(text))
    event("left alone" if read is None else "read" if isinstance(read, tuple) else "refused")
    assert read in (None, general(bytes(text)))
