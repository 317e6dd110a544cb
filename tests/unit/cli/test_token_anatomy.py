"""A token's parts are shown without those that make it usable."""

import base64
import json
import secrets
from datetime import UTC, datetime

import pytest

from token_service.cli.commands.token_anatomy import audience_of, describe, owner_of, pairs_of
from tokenservice.core import (
    MalformedToken,
    OpaqueAccess,
    format_opaque,
    seal_access,
    seal_session,
    session_payload,
)
from tokenservice.core.tokens.opaque import ROLLING_CODE

KEY = secrets.token_bytes(32)
LOOKUP = secrets.token_bytes(16)
SESSION_ID = "3f0c2a4e-9d0b-4c58-8f6a-0e1d2c3b4a59"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
CLAIMS: dict[str, object] = {
    "iss": "https://auth.example.com",
    "sub": "someone",
    "aud": "orders",
    "exp": int(NOW.timestamp()) + 300,
    "iat": int(NOW.timestamp()),
    "jti": "token-1",
    "client_id": "shop",
    "sid": SESSION_ID,
    "scope": "orders.read",
    "auth_time": int(NOW.timestamp()) - 60,
    "acr": "aal1",
    "amr": ["pwd"],
    "rev": 7,
}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(typ: str, claims: dict[str, object]) -> str:
    header = {"alg": "EdDSA", "kid": "00112233aabbccdd", "typ": typ}
    parts = (json.dumps(part).encode() for part in (header, claims))
    return ".".join([*map(base64url, parts), base64url(secrets.token_bytes(64))])


def test_a_jwt_is_shown_without_its_signature() -> None:
    token = jwt("at+jwt", CLAIMS)
    described = describe(token)
    assert described["kind"] == "access"
    assert described["well_formed"] is True
    assert described["claims"] == CLAIMS
    assert token.rpartition(".")[2] not in json.dumps(described)


def test_a_rolling_token_is_shown_without_what_exchanges_it() -> None:
    exchange = base64url(session_payload(ROLLING_CODE, "0a0b0c0d", KEY, LOOKUP, 3))
    token = jwt("rolling+jwt", {**CLAIMS, "xt": exchange})
    described = describe(token)
    assert described["kind"] == "rolling"
    assert described["well_formed"] is True
    assert exchange not in json.dumps(described)
    assert exchange not in str(pairs_of(described, NOW))


def test_a_session_token_is_shown_without_lookup_id_and_mac() -> None:
    token = seal_session("web", "0a0b0c0d", KEY, LOOKUP, 42)
    described = describe(token)
    assert described["kind"] == "web_session"
    assert described["generation"] == 42
    shown = json.dumps(described)
    assert LOOKUP.hex() not in shown
    assert described["lookup_id"] == described["mac"] == "(redacted)"


def test_an_opaque_access_token_is_shown_without_its_mac() -> None:
    access = OpaqueAccess(
        key_id="0a0b0c0d",
        session_id=SESSION_ID,
        generation=2,
        audience_index=0,
        scope_mask=5,
        issued_at=100,
        expires_at=400,
        rev=7,
        auth_time=90,
        acr=1,
        amr=1,
    )
    described = describe(seal_access(access, KEY))
    assert described["kind"] == "access"
    assert described["session_id"] == SESSION_ID
    assert (described["acr"], described["amr"]) == ("aal1", ["pwd"])
    assert described["mac"] == "(redacted)"


def test_a_client_secret_is_recognised_and_kept() -> None:
    payload = secrets.token_bytes(32)
    described = describe(format_opaque("cs", payload))
    assert described == {"form": "opaque", "kind": "client secret", "secret": "(redacted)"}


def test_a_foreign_jwt_is_shown_as_such() -> None:
    described = describe(jwt("JWT", {"sub": "someone"}))
    assert (described["kind"], described["well_formed"]) == ("unknown", False)


@pytest.mark.parametrize("token", ["", "x", "tsk_web_AAAA", "a.b.c", "é.é.é", "t" * 9_000])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(MalformedToken):
        describe(token)
    assert owner_of(token) == ("", "")
    assert audience_of(token) == ""


def test_times_are_dates_with_the_distance_from_now() -> None:
    pairs = dict(pairs_of(describe(jwt("at+jwt", CLAIMS)), NOW))
    assert pairs["claims.exp"] == "2026-11-22 00:05:00Z (in 300 s)"
    assert pairs["claims.auth_time"] == "2026-11-21 23:59:00Z (60 s ago)"


def test_an_impossible_time_stays_a_number() -> None:
    pairs = dict(pairs_of(describe(jwt("at+jwt", {**CLAIMS, "exp": 10**17})), NOW))
    assert pairs["claims.exp"] == str(10**17)


def test_a_jwt_tells_its_client_and_audience() -> None:
    token = jwt("at+jwt", CLAIMS)
    assert owner_of(token) == ("access", "shop")
    assert audience_of(token) == "orders"
    strange = jwt("at+jwt", {**CLAIMS, "client_id": 5, "aud": ["orders"]})
    assert owner_of(strange) == ("access", "")
    assert audience_of(strange) == ""
