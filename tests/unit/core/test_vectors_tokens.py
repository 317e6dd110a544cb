"""The vectors of docs/spec/tokens.md. What they expect is written in the files."""

from typing import Any

import pytest

from tests.unit.core.vector_files import FILES, SECTIONS, cases, shown_of, state_of
from tokenservice._decisions.authentication import authenticate
from tokenservice._decisions.signatures import Keyring
from tokenservice._sessions.exchange_ids import DerivedExchangeId
from tokenservice._transport.credentials import ClientSecret
from tokenservice.core import (
    Facts,
    MalformedToken,
    UnknownToken,
    access_mac_valid,
    acr_name,
    amr_names,
    parse_jwt,
    parse_opaque,
    session_mac_valid,
    shape_of,
    unpack_access,
    unpack_session,
)
from tokenservice.core.tokens.encoding import decode_base64url


def test_names_are_unique() -> None:
    for section, found in SECTIONS.items():
        names = [case["name"] for case in found]
        assert len(names) == len(set(names)), section


@cases("opaque.json")
def test_opaque_strings(case: dict[str, Any]) -> None:
    shape = shape_of(case["text"])
    found: dict[str, Any] = {"form": shape.form.name.lower()}
    if shape.kind:
        found["kind"] = shape.kind.name
    if found["form"] in {"malformed", "jwt"}:
        with pytest.raises(MalformedToken):
            parse_opaque(case["text"])
    else:
        opaque = parse_opaque(case["text"])
        found |= {"code": opaque.code, "payload": opaque.payload.hex()}
        if found["form"] == "session":
            found["session"] = _session(opaque.payload)
        if found["form"] == "opaque_access":
            found["access"] = _access(opaque.payload)
    assert found == case["expect"]


def _session(payload: bytes) -> dict[str, Any]:
    ref = unpack_session(payload)
    return {
        "mint_key_id": ref.mint_key_id,
        "lookup_id": ref.lookup_id.hex(),
        "generation": ref.generation,
        "mac": ref.mac.hex(),
    }


def _access(payload: bytes) -> dict[str, Any]:
    access = unpack_access(payload)
    return {
        "key_id": access.key_id,
        "session_id": access.session_id,
        "generation": access.generation,
        "audience_index": access.audience_index,
        "scope_mask": str(access.scope_mask),
        "issued_at": access.issued_at,
        "expires_at": access.expires_at,
        "rev": str(access.rev),
        "auth_time": access.auth_time,
        "acr": acr_name(access.acr),
        "amr": list(amr_names(access.amr)),
        "token_id": access.token_id,
    }


@cases("opaque.json", "macs")
def test_macs(case: dict[str, Any]) -> None:
    payload, key = bytes.fromhex(case["payload"]), bytes.fromhex(case["key"])
    if case["code"] == "acc":
        assert access_mac_valid(payload, key) is case["expect"]
    else:
        assert session_mac_valid(case["code"], payload, key) is case["expect"]


@cases("jwt.json")
def test_jwts(case: dict[str, Any]) -> None:
    try:
        parsed = parse_jwt(case["token"], FILES["jwt.json"]["issuer"])
    except MalformedToken:
        assert case["expect"] == "MALFORMED"
        return
    except UnknownToken:
        assert case["expect"] == "UNKNOWN"
        return
    exchange = parsed.exchange.hex() if parsed.exchange is not None else None
    head, body, signature = case["token"].split(".")
    assert (parsed.signing_input, parsed.signature) == (
        f"{head}.{body}".encode(),
        decode_base64url(signature),
    )
    assert case["expect"] == {
        "kid": parsed.kid,
        "alg": parsed.alg,
        "facts": shown_of(parsed.facts),
        "exchange": exchange,
    }


@cases("signatures.json")
def test_signatures(case: dict[str, Any]) -> None:
    file = FILES["signatures.json"]
    given = {**file["defaults"], **case}
    state = state_of(given["entries"], given["keys"], file["issuer"])
    found = authenticate(case["token"], state, Keyring())
    if isinstance(found, Facts):
        assert case["expect"] == "authentic"
    else:
        assert case["expect"] == ("ask" if found is None else found.name)


@cases("derived.json", "keys")
def test_derived_keys(case: dict[str, Any]) -> None:
    client = ClientSecret(case["client_id"], case["client_secret"])
    assert client.derive_key(case["purpose"]).hex() == case["expect"]


@cases("derived.json", "exchange_ids")
def test_derived_exchange_ids(case: dict[str, Any]) -> None:
    assert DerivedExchangeId(bytes.fromhex(case["key"]))(case["token"]).hex() == case["expect"]


@cases("derived.json", "authorizations")
async def test_authorizations(case: dict[str, Any]) -> None:
    client = ClientSecret(case["client_id"], case["client_secret"])
    assert await client.authorization() == case["expect"]
