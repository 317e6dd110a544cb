"""Where a request's token is, and when a request is refused without a look at it."""

from collections.abc import Sequence

import pytest

from tokenservice import CookieAuth
from tokenservice.middleware._bearer import bearer, presented, without_cookie
from tokenservice.middleware._common import Refusal, Refused

COOKIE = CookieAuth()
NO_TOKEN = Refusal(401, "Bearer")
BAD_REQUEST = Refusal(400, 'Bearer error="invalid_request"', "invalid_request")
BAD_TOKEN = Refusal(401, 'Bearer error="invalid_token"', "invalid_token")
FOREIGN = Refusal(403, "", "cross_origin_request")


def outcome(
    method: str = "GET", cookie: CookieAuth | None = COOKIE, **headers: str | Sequence[str]
) -> str | Refusal:
    """The token, or how the request is refused. `a_b` is the header a-b."""
    values = {
        name.replace("_", "-"): [value] if isinstance(value, str) else list(value)
        for name, value in headers.items()
    }
    try:
        return presented(values, method, cookie)
    except Refused as refused:
        return refused.refusal


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER   abc==", "abc=="),
        (" Bearer a.b-c_d~e+f/g ", "a.b-c_d~e+f/g"),
        ("Bearer", BAD_REQUEST),
        ("Bearer ", BAD_REQUEST),
        ("Bearer a b", BAD_REQUEST),
        ("Bearer a,b", BAD_REQUEST),
        ("Bearer a, Bearer b", BAD_REQUEST),
        ("Bearer a,Basic b", BAD_REQUEST),
        ('Bearer "a"', BAD_REQUEST),
        ("Bearer =", BAD_REQUEST),
        ("Bearer a=b", BAD_REQUEST),
        ("Bearer é", BAD_REQUEST),
        ("Bearer a\x00", BAD_REQUEST),
        ("Bearer a\n", BAD_REQUEST),
        ("Bearer\ta", BAD_REQUEST),
        ("abc", NO_TOKEN),
        ("Basic abc", NO_TOKEN),
        ("Bearerabc", NO_TOKEN),
        ("", BAD_REQUEST),
        ("\N{LATIN SMALL LETTER SHARP S} x", BAD_REQUEST),
    ],
)
def test_the_header(value: str, expected: object) -> None:
    assert outcome(authorization=value) == expected


def test_one_way_and_once() -> None:
    assert outcome() == NO_TOKEN
    assert outcome(authorization=["Bearer a", "Bearer a"]) == BAD_REQUEST
    assert outcome(authorization=["Bearer a", "Basic a"]) == BAD_REQUEST
    assert outcome(authorization="Bearer a", cookie=COOKIE) == "a"
    both = {"authorization": "Bearer a"}
    assert outcome(**both, cookie=None) == "a"
    headers = {"authorization": ["Bearer a"], "cookie": ["__Host-access=b"]}
    with pytest.raises(Refused) as caught:
        presented(headers, "GET", COOKIE)
    assert caught.value.refusal == BAD_REQUEST
    assert presented(headers, "GET", None) == "a", "cookies are not looked at unless allowed"


def cookie(
    *values: str, method: str = "GET", rules: CookieAuth | None = COOKIE, **headers: str
) -> str | Refusal:
    given: dict[str, list[str]] = {name.replace("_", "-"): [v] for name, v in headers.items()}
    try:
        return presented({"cookie": list(values), **given}, method, rules)
    except Refused as refused:
        return refused.refusal


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["__Host-access=abc"], "abc"),
        (["a=b; __Host-access=abc;c=d"], "abc"),
        (["a=b", "__Host-access=abc"], "abc"),
        (["__Host-access = abc "], "abc"),
        (["__host-access=abc"], NO_TOKEN),
        (["access=abc"], NO_TOKEN),
        (["x__Host-access=abc"], NO_TOKEN),
        (["__Host-access="], NO_TOKEN),
        (["__Host-access"], NO_TOKEN),
        ([""], NO_TOKEN),
        (["__Host-access=a; __Host-access=a"], BAD_REQUEST),
        (["__Host-access=a", "__Host-access=b"], BAD_REQUEST),
        (["__Host-access=a; __Host-access="], BAD_REQUEST),
        (['__Host-access="a"'], BAD_TOKEN),
        (["__Host-access=a b"], BAD_TOKEN),
        (["__Host-access=a,b"], BAD_TOKEN),
    ],
)
def test_the_cookie(values: list[str], expected: object) -> None:
    assert cookie(*values) == expected
    assert cookie(*values, rules=None) == NO_TOKEN


def test_another_scheme_in_the_header_leaves_the_cookie() -> None:
    assert cookie("__Host-access=abc", authorization="Basic eA==") == "abc"


GOOD = "__Host-access=abc"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "WEBSOCKET", "PROPFIND"])
@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "same-origin", "origin": "https://app.example"}, True),
        ({"sec_fetch_site": "same-site", "origin": "https://app.example"}, False),
        ({"sec_fetch_site": "cross-site", "origin": "https://evil.example"}, False),
        ({"sec_fetch_site": "none"}, False),
        ({"sec_fetch_site": ""}, False),
        ({"sec_fetch_site": "cross-site", "origin": "https://partner.example"}, True),
        ({"origin": "https://app.example", "host": "app.example"}, True),
        ({"origin": "https://app.example", "host": "APP.example"}, True),
        ({"origin": "https://app.example:8443", "host": "app.example:8443"}, True),
        ({"origin": "https://app.example:8443", "host": "app.example"}, False),
        ({"origin": "http://app.example", "host": "app.example"}, False),
        ({"origin": "http://localhost:8000", "host": "localhost:8000"}, True),
        ({"origin": "http://localhost.evil.example", "host": "localhost.evil.example"}, False),
        ({"origin": "http://127.0.0.1:80", "host": "127.0.0.1:80"}, True),
        ({"origin": "https://evil.example", "host": "app.example"}, False),
        ({"origin": "null", "host": "app.example"}, False),
        ({"origin": "https://partner.example", "host": "app.example"}, True),
        ({"origin": "https://app.example"}, False),
        ({"host": "app.example"}, False),
        ({}, False),
    ],
)
def test_a_cookie_changes_something_for_its_own_page_only(
    method: str, headers: dict[str, str], own: bool
) -> None:
    rules = CookieAuth(origins=frozenset({"https://partner.example"}))
    assert cookie(GOOD, method=method, rules=rules, **headers) == ("abc" if own else FOREIGN)


def test_repeated_origins_are_no_proof() -> None:
    headers = {"cookie": [GOOD], "sec-fetch-site": ["same-origin", "same-origin"]}
    with pytest.raises(Refused):
        presented(headers, "POST", COOKIE)
    headers = {"cookie": [GOOD], "origin": ["https://a", "https://a"], "host": ["a"]}
    with pytest.raises(Refused):
        presented(headers, "POST", COOKIE)
    headers = {"cookie": [GOOD], "origin": ["https://a"], "host": ["a", "a"]}
    with pytest.raises(Refused):
        presented(headers, "POST", COOKIE)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_needs_no_proof(method: str) -> None:
    assert cookie(GOOD, method=method, sec_fetch_site="cross-site") == "abc"


def test_the_application_may_do_the_check_itself() -> None:
    assert cookie(GOOD, method="POST", rules=CookieAuth(check_origin=False)) == "abc"


def test_no_proof_is_needed_for_a_header() -> None:
    assert outcome("POST", authorization="Bearer abc", sec_fetch_site="cross-site") == "abc"


def test_the_rules_are_checked() -> None:
    for name in (
        "access",
        "__Secure-access",
        "__host-access",
        "__Host-",
        "__Host-a b",
        "__Host-a;",
    ):
        with pytest.raises(ValueError, match="__Host-"):
            CookieAuth(name)
    for origin in ("app.example", "https://app.example/", "https://app.example/x", "*", ""):
        with pytest.raises(ValueError, match="origin"):
            CookieAuth(origins=[origin])
    with pytest.raises(TypeError):
        CookieAuth(origins="https://app.example")


@pytest.mark.parametrize(
    ("header", "left"),
    [
        ("__Host-access=abc", ""),
        ("a=b; __Host-access=abc; c=d", "a=b; c=d"),
        ("a=b;__Host-access = abc", "a=b"),
        ("a=__Host-access; b", "a=__Host-access; b"),
    ],
)
def test_hiding_the_cookie(header: str, left: str) -> None:
    assert without_cookie(header, "__Host-access") == left


def test_no_error_repeats_what_was_sent() -> None:
    for value in ("Bearer secret secret", "Bearer secret,", "secret\x00"):
        with pytest.raises(Refused) as caught:
            bearer([value])
        assert "secret" not in f"{caught.value!r} {caught.value.refusal} {caught.value}"
