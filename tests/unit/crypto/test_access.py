import json
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.crypto.builders import (
    ISSUER,
    access,
    facts,
    in_state,
    loaded,
    new_key,
    one_of_each,
)
from token_service.adapters.crypto.access_tokens import AccessTokenFactory
from token_service.adapters.crypto.mint import Mint
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import KeyPurpose, KeyState, TokenKind
from tokenservice._decisions.signatures import Keyring as ValidatorKeys
from tokenservice.core import (
    Facts,
    MalformedToken,
    OpaqueAccess,
    UnknownKey,
    UnknownToken,
    format_opaque,
    parse_jwt,
    parse_opaque,
    seal_access,
)
from tokenservice.core.tokens.encoding import decode_base64url, encode_base64url

ALGORITHMS = ("EdDSA", "ES256", "RS256", "PS256", "HS256")
SIGNING = new_key(KeyPurpose.SIGNING, "EdDSA")
KEYRING = loaded(*one_of_each())
TOKENS = AccessTokenFactory(KEYRING, ISSUER)
XT = b"x" * 44

_printable = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
_scope = st.text(st.characters(min_codepoint=0x23, max_codepoint=0x5B), min_size=1, max_size=20)
_seconds = st.integers(0, 253_402_300_799)
_device = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=60)


def words(most: int) -> st.SearchStrategy[tuple[str, ...]]:
    word = st.text(_printable, min_size=1, max_size=20)
    return st.lists(word, max_size=most, unique=True).map(tuple)


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    issued, expires = sorted(draw(st.lists(_seconds, min_size=2, max_size=2, unique=True)))
    return facts(
        kind=draw(st.sampled_from([TokenKind.ACCESS, TokenKind.ROLLING])),
        subject=draw(st.text(_printable, min_size=1, max_size=255)),
        client_id=draw(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)),
        session_id=str(draw(st.uuids())),
        device_id=draw(_device),
        audience=draw(st.text(_printable, min_size=1, max_size=255)),
        scopes=draw(st.frozensets(_scope, max_size=64)),
        roles=draw(words(64)),
        issued_at=issued,
        expires_at=expires,
        auth_time=draw(_seconds),
        acr=draw(st.text(_printable, min_size=1, max_size=64)),
        amr=draw(words(8)),
        token_id=draw(st.text(_printable, min_size=1, max_size=128)),
        rev=draw(st.integers(0, 2**63 - 1)),
        confirmation=draw(st.just(b"") | st.binary(min_size=32, max_size=32)),
    )


@given(any_facts())
def test_what_is_signed_is_read_again(given_facts: Facts) -> None:
    claim = XT if given_facts.kind is TokenKind.ROLLING else b""
    token = TOKENS.sign_jwt(given_facts, "", claim)
    expected = replace(given_facts, key_id=SIGNING.kid)
    assert TOKENS.authenticate_jwt(token) == expected
    parsed = parse_jwt(token, ISSUER)
    assert parsed.facts == expected
    assert parsed.exchange == (claim or None)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_signs_and_checks(algorithm: str) -> None:
    key = new_key(KeyPurpose.SIGNING, algorithm)
    keyring = loaded(*one_of_each(), key)
    tokens = AccessTokenFactory(keyring, ISSUER)
    token = tokens.sign_jwt(facts(), algorithm)
    assert json.loads(decode_base64url(token.split(".")[0])) == {
        "alg": algorithm,
        "kid": key.kid,
        "typ": "at+jwt",
    }
    assert tokens.authenticate_jwt(token).key_id == key.kid
    # A gateway checks the same token with the published key alone; HS256 it cannot check.
    published = {key.kid: key for key in keyring.public_keys()}
    checked = ValidatorKeys().check(parse_jwt(token, ISSUER), published)
    assert checked is (algorithm != "HS256")


def test_the_default_algorithm_is_a_setting() -> None:
    key = new_key(KeyPurpose.SIGNING, "ES256")
    tokens = AccessTokenFactory(loaded(*one_of_each(), key), ISSUER, "ES256")
    assert tokens.authenticate_jwt(tokens.sign_jwt(facts(), "")).key_id == key.kid
    assert tokens.authenticate_jwt(tokens.sign_jwt(facts(), "EdDSA")).key_id == SIGNING.kid


def test_an_algorithm_without_active_key_signs_nothing() -> None:
    for algorithm in ("RS256", "none", "HS256"):
        with pytest.raises(TokenServiceError) as caught:
            TOKENS.sign_jwt(facts(), algorithm)
        assert caught.value.reason is Reason.KEY_STATE


def test_every_flipped_bit_of_a_signature_is_refused() -> None:
    head, _, signature = TOKENS.sign_jwt(facts(), "").rpartition(".")
    good = decode_base64url(signature)
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UnknownToken):
            TOKENS.authenticate_jwt(f"{head}.{encode_base64url(bytes(bad))}")


def test_changed_claims_are_refused() -> None:
    header, payload, signature = TOKENS.sign_jwt(facts(), "").split(".")
    claims = json.loads(decode_base64url(payload))
    claims["scope"] = "admin"
    forged = encode_base64url(json.dumps(claims, separators=(",", ":")).encode())
    with pytest.raises(UnknownToken):
        TOKENS.authenticate_jwt(f"{header}.{forged}.{signature}")


def test_an_access_token_does_not_become_a_rolling_one_by_its_header() -> None:
    """The header is signed too."""
    rolling = TOKENS.sign_jwt(facts(kind=TokenKind.ROLLING), "", XT)
    _, payload, signature = rolling.split(".")
    header = TOKENS.sign_jwt(facts(), "").split(".")[0]
    with pytest.raises(MalformedToken):
        TOKENS.authenticate_jwt(f"{header}.{payload}.{signature}")


def test_a_key_is_used_with_its_own_algorithm_only() -> None:
    """Signed with RS256, and relabelled as PS256 by someone who holds the key."""
    key = new_key(KeyPurpose.SIGNING, "RS256")
    keyring = loaded(key)
    tokens = AccessTokenFactory(keyring, ISSUER, "RS256")
    payload = tokens.sign_jwt(facts(), "").split(".")[1]
    header = encode_base64url(
        json.dumps({"alg": "PS256", "kid": key.kid, "typ": "at+jwt"}).encode()
    )
    signature = encode_base64url(keyring.signer("RS256").sign(f"{header}.{payload}".encode()))
    with pytest.raises(UnknownToken):
        tokens.authenticate_jwt(f"{header}.{payload}.{signature}")


def test_a_foreign_issuer_is_unknown() -> None:
    with pytest.raises(UnknownToken):
        TOKENS.authenticate_jwt(
            AccessTokenFactory(KEYRING, "https://other.example").sign_jwt(facts(), "")
        )


def test_a_claim_to_be_exchanged_belongs_to_rolling_tokens() -> None:
    for kind, claim in (
        (TokenKind.ACCESS, XT),
        (TokenKind.ROLLING, b""),
        (TokenKind.ROLLING, XT[:43]),
        (TokenKind.WEB_SESSION, b""),
    ):
        with pytest.raises(ValueError, match=r"rolling|WEB_SESSION"):
            TOKENS.sign_jwt(facts(kind=kind), "", claim)


def test_a_token_that_nobody_would_read_is_not_made() -> None:
    scopes = frozenset(f"{number:03}" + "s" * 120 for number in range(64))
    with pytest.raises(ValueError, match="longer"):
        TOKENS.sign_jwt(facts(scopes=scopes), "")


@pytest.mark.parametrize(
    ("state", "authentic"),
    [
        (KeyState.PENDING, True),
        (KeyState.RETIRING, True),
        (KeyState.RETIRED, False),
        (KeyState.COMPROMISED, False),
    ],
)
def test_after_a_rotation(state: KeyState, *, authentic: bool) -> None:
    """Old tokens stay authentic while their keys verify, and are refused afterwards."""
    jwt, opaque = TOKENS.sign_jwt(facts(), ""), TOKENS.seal_opaque(access())
    former = [in_state(key, state) for key in one_of_each()]
    newer = [
        new_key(KeyPurpose.SIGNING, "EdDSA", number=1),
        new_key(KeyPurpose.OPAQUE, number=1),
    ]
    rotated = AccessTokenFactory(loaded(*former, *newer), ISSUER)
    assert rotated.authenticate_jwt(rotated.sign_jwt(facts(), "")).key_id == newer[0].kid
    if authentic:
        assert rotated.authenticate_jwt(jwt).subject == facts().subject
        assert rotated.authenticate_opaque(opaque).session_id == access().session_id
        return
    for authenticate, token, key in (
        (rotated.authenticate_jwt, jwt, former[0]),
        (rotated.authenticate_opaque, opaque, former[3]),
    ):
        with pytest.raises(UnknownKey) as refused:
            authenticate(token)
        assert refused.value.kid == key.kid


_u8, _u32, _u64 = (st.integers(0, 2**bits - 1) for bits in (8, 32, 64))


@given(
    st.builds(
        OpaqueAccess,
        key_id=st.text(),
        session_id=st.uuids().map(str),
        generation=_u32,
        audience_index=_u8,
        scope_mask=_u64,
        issued_at=_u32,
        expires_at=_u32,
        rev=_u64,
        auth_time=_u32,
        acr=_u8,
        amr=_u8,
    )
)
def test_what_is_sealed_is_read_again(given_access: OpaqueAccess) -> None:
    token = TOKENS.seal_opaque(given_access)
    kid = KEYRING.active_mac_key(KeyPurpose.OPAQUE).kid
    assert TOKENS.authenticate_opaque(token) == replace(given_access, key_id=kid)
    assert token == TOKENS.seal_opaque(given_access)


def test_every_flipped_bit_of_an_opaque_token_is_refused() -> None:
    good = parse_opaque(TOKENS.seal_opaque(access())).payload
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UnknownToken):
            TOKENS.authenticate_opaque(format_opaque("acc", bytes(bad)))


def test_mint_keys_make_no_access_tokens() -> None:
    mint = KEYRING.active_mac_key(KeyPurpose.MINT)
    opaque = KEYRING.active_mac_key(KeyPurpose.OPAQUE)
    for kid in (mint.kid, opaque.kid):
        with pytest.raises(UnknownToken):
            TOKENS.authenticate_opaque(seal_access(access(key_id=kid), mint.key))


def test_other_strings_are_no_opaque_access_tokens() -> None:
    mint = Mint(KEYRING, ISSUER)
    session = mint.held(KEYRING.active_mac_key(KeyPurpose.MINT).kid).token(
        TokenKind.WEB_SESSION, UUID(int=1), 1
    )
    for other in (session, TOKENS.sign_jwt(facts(), ""), "", "tsk_acc_", "tsk_acc_" + "A" * 100):
        with pytest.raises(MalformedToken):
            TOKENS.authenticate_opaque(other)
    for other in (session, TOKENS.seal_opaque(access()), "", "a.b.c"):
        with pytest.raises(MalformedToken):
            TOKENS.authenticate_jwt(other)


@pytest.mark.parametrize("change", [{"audience_index": 256}, {"rev": -1}, {"generation": 2**32}])
def test_what_does_not_fit_is_not_sealed(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        TOKENS.seal_opaque(access(**change))
