"""How large tokens are said to become at most: never less than they really are."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.crypto.builders import in_state, loaded, new_key, one_of_each
from tests.unit.crypto.test_access import XT, any_facts
from token_service.adapters.crypto.access_tokens import AccessTokenFactory
from token_service.adapters.crypto.mint import Mint
from token_service.adapters.system import SystemRandomness
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import (
    AccessFormat,
    Amr,
    KeyPurpose,
    KeyState,
    Platform,
    TokenKind,
    TokenScheme,
)
from token_service.domain.sessions.grants import Grant
from token_service.domain.sessions.session import Generation
from token_service.usecases.tokens.token_limits import TokenLimits
from token_service.usecases.tokens.token_set import TokenSetMaker
from tokenservice.core import Facts
from tokenservice.core.limits import (
    COOKIE_TOKEN_LENGTH,
    MAX_AUDIENCE_LENGTH,
    MAX_ISSUER_LENGTH,
    MAX_SCOPE_LENGTH,
    MAX_SCOPES,
    MAX_TOKEN_LENGTH,
    MAX_USER_ROLES,
    ROLE,
)

ALGORITHMS = ("EdDSA", "ES256", "RS256", "PS256", "HS256")
KEYRING = loaded(
    *one_of_each(), *(new_key(KeyPurpose.SIGNING, algorithm) for algorithm in ALGORITHMS[1:])
)
NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
POLICY = ClientPolicy(platforms=frozenset({Platform.WEB}), audiences=("orders",))

_issuers = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1).map(
    lambda text: text[:MAX_ISSUER_LENGTH]
)
_names = st.text(
    st.characters(min_codepoint=0x23, max_codepoint=0x5B), min_size=1, max_size=MAX_SCOPE_LENGTH
)


def tokens_of(issuer: str) -> AccessTokenFactory:
    return AccessTokenFactory(KEYRING, issuer)


@given(_issuers, any_facts(), st.sampled_from(ALGORITHMS))
def test_a_token_is_never_longer_than_was_measured(
    issuer: str, facts: Facts, algorithm: str
) -> None:
    signer = tokens_of(issuer).signer(algorithm)
    measured = signer.length(facts)
    if measured > MAX_TOKEN_LENGTH:
        return
    claim = XT if facts.kind is TokenKind.ROLLING else b""
    real = len(signer.sign(facts, claim))
    # Only the revision is not known yet: one digit of it at least, 19 at most.
    assert real <= measured <= real + 4 * 18 // 3 + 1


@st.composite
def policies(draw: st.DrawFn) -> ClientPolicy:
    many = st.lists(_names, min_size=1, unique=True)
    return replace(
        POLICY,
        scheme=draw(st.sampled_from([TokenScheme.SESSION_ACCESS, TokenScheme.ROLLING])),
        access_format=draw(st.sampled_from([AccessFormat.JWT, AccessFormat.OPAQUE])),
        signing_algorithm=draw(st.sampled_from(["", *ALGORITHMS])),
        audiences=tuple(draw(many.map(lambda names: names[:3]))),
        scopes=frozenset(draw(many.map(lambda names: names[:MAX_SCOPES]))),
    )


@st.composite
def sessions(draw: st.DrawFn, policy: ClientPolicy) -> Generation:
    roles = draw(
        st.lists(st.from_regex(ROLE, fullmatch=True), max_size=MAX_USER_ROLES, unique=True)
    )
    devices = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=128)
    rolling = policy.scheme is TokenScheme.ROLLING
    return Generation(
        session_id=draw(st.uuids()),
        lookup_id=UUID(int=1),
        kind=TokenKind.ROLLING if rolling else TokenKind.WEB_SESSION,
        client_id=draw(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)),
        user_id=draw(st.none() | st.uuids()),
        generation=draw(st.integers(1, 2**31 - 1)),
        mint_kid=KEYRING.active_mac_key(KeyPurpose.MINT).kid,
        acr=draw(st.integers(1, 3)),
        amr=Amr(draw(st.integers(0, 15))),
        auth_time=NOW,
        rotated_at=NOW,
        idle_expires_at=NOW + timedelta(days=1),
        absolute_expires_at=NOW + timedelta(days=2),
        audiences=policy.audiences[:1] if rolling else policy.audiences,
        scopes=tuple(sorted(policy.scopes)),
        roles=tuple(roles),
        device_id=draw(devices),
        confirmation=draw(st.just(b"") | st.binary(min_size=32, max_size=32)),
    )


@settings(max_examples=60)
@given(st.data(), _issuers)
def test_a_policy_says_how_large_its_tokens_become(data: st.DataObject, issuer: str) -> None:
    tokens = tokens_of(issuer)
    policy = data.draw(policies())
    session = data.draw(sessions(policy))
    limits = TokenLimits(tokens)
    maker = TokenSetMaker(Mint(KEYRING, issuer), tokens, SystemRandomness())
    grant = Grant(session.audiences, session.scopes)
    if limits.longest(policy) > MAX_TOKEN_LENGTH:
        with pytest.raises(TokenServiceError) as refused:
            limits.require(policy)
        assert refused.value.field == "policy.scopes"
        return
    limits.require(policy)
    for keys in (maker.ready_for_any(policy), maker.ready(session, grant, policy)):
        if keys is None:  # that it fits is only certain once the session is known
            assert limits.longest_jwt(policy) > MAX_TOKEN_LENGTH
            continue
        rev = data.draw(st.integers(0, 2**63 - 1))
        made = maker.make(keys, session, grant=grant, policy=policy, rev=rev, now=NOW)
        longest = max(len(access.token) for access in made.access_tokens)
        assert longest <= limits.longest(policy)


def test_a_policy_may_name_no_algorithm_without_a_key_that_signs() -> None:
    pending = in_state(new_key(KeyPurpose.SIGNING, "ES256"), KeyState.PENDING)
    limits = TokenLimits(AccessTokenFactory(loaded(*one_of_each(), pending), "https://i"))
    limits.require(POLICY)
    for algorithm in ("ES256", "RS256"):
        for form in (AccessFormat.JWT, AccessFormat.OPAQUE):
            policy = replace(POLICY, signing_algorithm=algorithm, access_format=form)
            with pytest.raises(TokenServiceError) as refused:
                limits.require(policy, "policy")
            assert refused.value.reason is Reason.FIELD_INVALID
            assert refused.value.field == "policy.signing_algorithm"


def test_a_key_that_went_away_is_missed_although_it_was_measured_with() -> None:
    keyring = loaded(*one_of_each(), new_key(KeyPurpose.SIGNING, "ES256"))
    limits = TokenLimits(AccessTokenFactory(keyring, "https://i"))
    policy = replace(POLICY, signing_algorithm="ES256")
    limits.require(policy)
    keyring.load(one_of_each())
    assert limits.longest_if_any(policy) == 0
    with pytest.raises(TokenServiceError):
        limits.require(policy)


def test_cookies_are_spoken_of_where_browsers_get_tokens() -> None:
    limits = TokenLimits(tokens_of("https://auth.example.com"))
    scopes = frozenset(f"{number:02d}".ljust(50, "s") for number in range(30))
    large = replace(POLICY, scopes=scopes)
    assert COOKIE_TOKEN_LENGTH < limits.longest(large) < MAX_TOKEN_LENGTH
    assert limits.exceeds_cookie(large)
    assert not limits.exceeds_cookie(POLICY)
    assert not limits.exceeds_cookie(replace(large, platforms=frozenset({Platform.MOBILE})))
    assert not limits.exceeds_cookie(replace(large, access_format=AccessFormat.OPAQUE))
    assert limits.exceeds_cookie(
        replace(large, access_format=AccessFormat.JWT, scheme=TokenScheme.ROLLING)
    )


def test_the_largest_policy_there_can_be_is_refused() -> None:
    limits = TokenLimits(tokens_of("i" * MAX_ISSUER_LENGTH))
    scopes = frozenset(f"{number:02d}".ljust(MAX_SCOPE_LENGTH, "s") for number in range(MAX_SCOPES))
    policy = replace(POLICY, audiences=("a" * MAX_AUDIENCE_LENGTH,), scopes=scopes)
    with pytest.raises(TokenServiceError) as refused:
        limits.require(policy)
    assert refused.value.field == "policy.scopes"
    limits.require(replace(policy, access_format=AccessFormat.OPAQUE))


@pytest.mark.parametrize("kind", [TokenKind.WEB_SESSION, TokenKind.ROLLING])
@pytest.mark.parametrize("left", [0.001, 0.4, 0.999, 1.5, 7.0])
def test_a_token_of_the_last_second_is_read_too(kind: TokenKind, left: float) -> None:
    now = NOW + timedelta(milliseconds=600)
    session = Generation(
        session_id=UUID(int=2),
        lookup_id=UUID(int=1),
        kind=kind,
        client_id="shop",
        user_id=None,
        generation=3,
        mint_kid=KEYRING.active_mac_key(KeyPurpose.MINT).kid,
        acr=1,
        amr=Amr.PWD,
        auth_time=NOW,
        rotated_at=now,
        idle_expires_at=now + timedelta(seconds=left),
        absolute_expires_at=now + timedelta(seconds=left),
        audiences=("orders",),
        scopes=("orders.read",),
        roles=(),
        device_id="",
        confirmation=b"",
    )
    tokens = tokens_of("https://i")
    maker = TokenSetMaker(Mint(KEYRING, "https://i"), tokens, SystemRandomness())
    grant = Grant(session.audiences, session.scopes)
    keys = maker.ready(session, grant, POLICY)
    made = maker.make(keys, session, grant=grant, policy=POLICY, rev=1, now=now)
    facts = tokens.authenticate_jwt(made.access_tokens[0].token)
    end = session.absolute_expires_at.timestamp()
    assert facts.issued_at < facts.expires_at < end + 1
    assert facts.expires_at == made.access_tokens[0].expires_at.timestamp()
