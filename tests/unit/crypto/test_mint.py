import string
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
from token_service.adapters.crypto.client_secrets import PepperedSecrets
from token_service.adapters.crypto.mint import Mint
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import KeyPurpose, KeyState, TokenKind
from token_service.domain.ports import AuthenticSession
from tokenservice.core import format_opaque, parse_opaque, seal_session, session_payload

LOOKUP = UUID("5d3b2a4e-6a3a-4c1c-8d53-9d0a6f2f7e11")
KINDS = (TokenKind.WEB_SESSION, TokenKind.MOBILE_SESSION, TokenKind.API_SESSION)
CODES = ("web", "mob", "api")
KEY = new_key(KeyPurpose.MINT)
KEYRING = loaded(*one_of_each())
MINT = Mint(KEYRING, ISSUER)
TOKENS = AccessTokenFactory(KEYRING, ISSUER)


def web_token(generation: int = 7) -> str:
    return MINT.held(KEY.kid).token(TokenKind.WEB_SESSION, LOOKUP, generation)


def refusal(token: str, mint: Mint = MINT) -> Reason:
    with pytest.raises(TokenServiceError) as caught:
        mint.authenticate(token)
    assert token[4:] not in str(caught.value) or len(token) < 20
    return caught.value.reason


@given(
    kind=st.sampled_from(KINDS),
    lookup=st.uuids(),
    generation=st.integers(0, 2**32 - 1),
)
def test_a_token_says_what_it_was_made_for(kind: TokenKind, lookup: UUID, generation: int) -> None:
    token = MINT.held(KEY.kid).token(kind, lookup, generation)
    assert token == MINT.held(KEY.kid).token(kind, lookup, generation)
    assert MINT.authenticate(token) == AuthenticSession(kind, lookup, generation, KEY.kid)


def test_a_rolling_token_is_authentic_by_its_claim() -> None:
    claim = MINT.held(KEY.kid).exchange_claim(LOOKUP, 4)
    token = TOKENS.sign_jwt(facts(kind=TokenKind.ROLLING), "", claim)
    expected = AuthenticSession(TokenKind.ROLLING, LOOKUP, 4, KEY.kid)
    assert MINT.authenticate(token) == expected
    # The signing key may be long gone when a session is exchanged.
    assert Mint(loaded(KEY), ISSUER).authenticate(token) == expected
    assert refusal(token, Mint(KEYRING, "https://other.example")) is Reason.TOKEN_UNKNOWN


def test_a_rolling_token_with_another_payload_or_signature_is_refused() -> None:
    claim = MINT.held(KEY.kid).exchange_claim(LOOKUP, 4)
    token = TOKENS.sign_jwt(facts(kind=TokenKind.ROLLING), "", claim)
    other = TOKENS.sign_jwt(facts(kind=TokenKind.ROLLING, subject="mallory"), "", claim)
    header, payload, signature = token.split(".")
    for forged in (
        f"{header}.{other.split('.')[1]}.{signature}",
        f"{header}.{payload}.{other.split('.')[2]}",
    ):
        assert refusal(forged) is Reason.TOKEN_UNKNOWN


def test_every_flipped_bit_is_refused() -> None:
    good = parse_opaque(web_token()).payload
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert refusal(format_opaque("web", bytes(bad))) is Reason.TOKEN_UNKNOWN


def test_every_changed_character_is_refused() -> None:
    good = web_token()
    for place in range(len(good)):
        for character in string.ascii_letters + string.digits + "-_=.":
            bad = good[:place] + character + good[place + 1 :]
            if bad != good:
                assert refusal(bad) is Reason.TOKEN_MALFORMED


@given(
    st.one_of(
        st.text(),
        st.text().map(lambda text: f"tsk_web_{text}"),
        st.binary(min_size=44, max_size=44).map(lambda data: format_opaque("web", data)),
    )
)
def test_garbage_is_refused(token: str) -> None:
    assert refusal(token) in (Reason.TOKEN_MALFORMED, Reason.TOKEN_UNKNOWN)


def test_a_session_of_one_kind_is_none_of_another() -> None:
    payloads = {
        code: parse_opaque(MINT.held(KEY.kid).token(kind, LOOKUP, 1)).payload
        for code, kind in zip(CODES, KINDS, strict=True)
    }
    payloads["rol"] = MINT.held(KEY.kid).exchange_claim(LOOKUP, 1)
    assert len(set(payloads.values())) == len(payloads)
    for code in CODES:
        for other, payload in payloads.items():
            if code != other:
                assert refusal(format_opaque(code, payload)) is Reason.TOKEN_UNKNOWN
    for code in CODES:
        rolling = TOKENS.sign_jwt(facts(kind=TokenKind.ROLLING), "", payloads[code])
        assert refusal(rolling) is Reason.TOKEN_UNKNOWN


def test_other_tokens_and_secrets_are_not_session_tokens() -> None:
    secret, hashed, _ = PepperedSecrets(KEYRING).make("cs", b"context")
    for other in (
        TOKENS.sign_jwt(facts(), ""),
        TOKENS.seal_opaque(access()),
        secret,
        format_opaque("cs", hashed),
        "",
    ):
        assert refusal(other) is Reason.TOKEN_MALFORMED


def test_keys_of_other_purposes_make_no_session_tokens() -> None:
    for purpose in (KeyPurpose.OPAQUE, KeyPurpose.PEPPER):
        key = KEYRING.active_mac_key(purpose)
        own_kid = seal_session("web", key.kid, key.key, LOOKUP.bytes, 1)
        assert refusal(own_kid) is Reason.TOKEN_UNKNOWN
        mint_kid = seal_session("web", KEY.kid, key.key, LOOKUP.bytes, 1)
        assert refusal(mint_kid) is Reason.TOKEN_UNKNOWN


def test_rotation_keeps_old_tokens_authentic() -> None:
    old_token = web_token()
    newer = new_key(KeyPurpose.MINT, number=1)
    rotated = Mint(loaded(in_state(KEY, KeyState.RETIRING), newer), ISSUER)
    assert rotated.active().kid == newer.kid
    assert rotated.authenticate(old_token).mint_kid == KEY.kid
    # A replay makes the same successor again, whichever key is active by then.
    assert rotated.held(KEY.kid).token(TokenKind.WEB_SESSION, LOOKUP, 7) == old_token
    assert rotated.active().token(TokenKind.WEB_SESSION, LOOKUP, 7) != old_token


def test_a_node_that_lags_behind_accepts_the_key_that_is_already_in_use() -> None:
    lagging = Mint(loaded(in_state(KEY, KeyState.PENDING)), ISSUER)
    assert lagging.authenticate(web_token()).generation == 7


@pytest.mark.parametrize(
    ("state", "reason", "minting"),
    [
        (KeyState.COMPROMISED, Reason.TOKEN_REVOKED, Reason.TOKEN_REVOKED),
        (KeyState.RETIRED, Reason.TOKEN_UNKNOWN, Reason.TRUST_STALE),
    ],
)
def test_dead_keys_authenticate_and_make_nothing(
    state: KeyState, reason: Reason, minting: Reason
) -> None:
    claim = MINT.held(KEY.kid).exchange_claim(LOOKUP, 4)
    rolling = TOKENS.sign_jwt(facts(kind=TokenKind.ROLLING), "", claim)
    mint = Mint(loaded(in_state(KEY, state)), ISSUER)
    assert refusal(web_token(), mint) is reason
    assert refusal(rolling, mint) is reason
    for make in (
        lambda: mint.held(KEY.kid).token(TokenKind.WEB_SESSION, LOOKUP, 1),
        lambda: mint.held(KEY.kid).exchange_claim(LOOKUP, 1),
    ):
        with pytest.raises(TokenServiceError) as caught:
            make()
        assert caught.value.reason is minting


@pytest.mark.parametrize("kind", [TokenKind.ROLLING, TokenKind.ACCESS, TokenKind.UNSPECIFIED])
def test_only_session_kinds_have_session_tokens(kind: TokenKind) -> None:
    with pytest.raises(ValueError, match=kind.name):
        MINT.held(KEY.kid).token(kind, LOOKUP, 1)


def test_the_format_is_pinned() -> None:
    """Changing it would log everybody out."""
    assert seal_session("web", "00c0ffee", b"k" * 32, LOOKUP.bytes, 7) == (
        "tsk_web_AMD_7l07Kk5qOkwcjVOdCm8vfhEAAAAHpaVlgrBtCc9rVtT-MgvR7NWs_DNzYIy_"
    )
    assert session_payload("rol", "00c0ffee", b"k" * 32, LOOKUP.bytes, 7).hex() == (
        "00c0ffee5d3b2a4e6a3a4c1c8d539d0a6f2f7e1100000007dfb85092327e5a6915c149d41cf7442fc4d40bc2"
    )
