"""Makes the tokens of one session generation."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError, invalid_field
from token_service.domain.kinds import AccessFormat, TokenKind
from token_service.domain.ports import (
    AccessTokens,
    HeldMintKey,
    Randomness,
    SessionMint,
    TokenSealer,
    TokenSigner,
)
from token_service.domain.sessions.grants import Grant
from token_service.domain.sessions.session import Generation
from token_service.usecases.tokens.token_limits import TokenLimits
from tokenservice.core import Facts, OpaqueAccess, acr_name, amr_names
from tokenservice.core.limits import MAX_TOKEN_LENGTH

Key = TypeVar("Key")

_FAR = datetime(9999, 12, 31, tzinfo=UTC)
_ANY_ID = str(UUID(int=0))
"""As long as any token's id, for a token that is only measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedAccess:
    """An access (or rolling) token; `exchange_until` is set in the rolling scheme only."""

    token: str
    audience: str
    scopes: tuple[str, ...]
    format: AccessFormat
    expires_at: datetime
    exchange_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """What a login or an exchange hands out. `session_token` is empty in the rolling scheme."""

    session_token: str
    session: Generation
    access_tokens: tuple[IssuedAccess, ...]


@dataclass(frozen=True, slots=True)
class HeldKeys:
    """The keys that a generation's tokens are made with, in hand before the generation is written:
    whatever becomes of them meanwhile, the answer can be given. `signer` and `sealer` are there
    where the tokens need them."""

    mint: HeldMintKey
    signer: TokenSigner | None
    sealer: TokenSealer | None


class TokenSetMaker:
    """Makes a generation's session token and its access tokens, one per audience.

    What can fail is found by `ready` (or `ready_for_any`), before anything is consumed. The
    session token, and a rolling token's identity and times, are a function of the session's row:
    made again after a lost reply they are the same.
    """

    def __init__(self, mint: SessionMint, tokens: AccessTokens, random: Randomness) -> None:
        self._mint = mint
        self._tokens = tokens
        self._random = random
        self._limits = TokenLimits(tokens)

    def ready(self, session: Generation, grant: Grant, policy: ClientPolicy) -> HeldKeys:
        """What `make` needs for this generation, which may not be written yet.

        Raises KEY_STATE where a key is missing, FIELD_INVALID where a token would be larger than
        any validator reads, and TOKEN_REVOKED and TRUST_STALE for the generation's mint key.
        """
        mint = self._mint.held(session.mint_kid)
        rolling = session.kind is TokenKind.ROLLING
        if policy.access_format is AccessFormat.OPAQUE and not rolling:
            return HeldKeys(mint, None, self._tokens.sealer())
        signer = self._tokens.signer(policy.signing_algorithm)
        kind = TokenKind.ROLLING if rolling else TokenKind.ACCESS
        audience = grant.audiences[0] if rolling else max(grant.audiences, key=len)
        facts = _facts(
            session,
            kind,
            grant=grant,
            audience=audience,
            rev=0,
            issued_at=_FAR,
            expires_at=_FAR,
            token_id=_ANY_ID,
        )
        if signer.length(facts) > MAX_TOKEN_LENGTH:
            raise invalid_field("scopes", "a token with all of them would be too large")
        return HeldKeys(mint, signer, None)

    def ready_for_any(self, policy: ClientPolicy) -> HeldKeys | None:
        """The same for any session of the client's that the active mint key makes a generation
        of. None: that is not certain, ask about the session itself."""
        try:
            if self._limits.longest_jwt(policy) > MAX_TOKEN_LENGTH:
                return None
            opaque = policy.access_format is AccessFormat.OPAQUE
            return HeldKeys(
                self._mint.active(),
                self._tokens.signer(policy.signing_algorithm),
                self._tokens.sealer() if opaque else None,
            )
        except TokenServiceError as error:
            if error.reason is not Reason.KEY_STATE:
                raise
            return None

    def make(
        self,
        keys: HeldKeys,
        session: Generation,
        *,
        grant: Grant,
        policy: ClientPolicy,
        rev: int,
        now: datetime,
    ) -> IssuedTokens:
        """Tokens of the session's current generation. `rev` is the trust revision of the
        snapshot that allowed them."""
        if session.kind is TokenKind.ROLLING:
            token = self._rolling(keys, session, grant, policy, rev)
            return IssuedTokens("", session, (token,))
        session_token = keys.mint.token(session.kind, session.lookup_id, session.generation)
        issued_at = _whole(now)
        expires_at = _end(issued_at, now + policy.access_lifetime, session)
        access = self._sealed if policy.access_format is AccessFormat.OPAQUE else self._signed
        accesses = tuple(
            IssuedAccess(
                token=access(
                    keys,
                    session,
                    grant=grant,
                    audience=audience,
                    rev=rev,
                    issued_at=issued_at,
                    expires_at=expires_at,
                ),
                audience=audience,
                scopes=grant.scopes,
                format=policy.access_format,
                expires_at=expires_at,
            )
            for audience in grant.audiences
        )
        return IssuedTokens(session_token, session, accesses)

    def _signed(
        self,
        keys: HeldKeys,
        session: Generation,
        *,
        grant: Grant,
        audience: str,
        rev: int,
        issued_at: datetime,
        expires_at: datetime,
    ) -> str:
        facts = _facts(
            session,
            TokenKind.ACCESS,
            grant=grant,
            audience=audience,
            rev=rev,
            issued_at=issued_at,
            expires_at=expires_at,
            token_id=str(self._random.uuid()),
        )
        return _held(keys.signer).sign(facts)

    def _sealed(
        self,
        keys: HeldKeys,
        session: Generation,
        *,
        grant: Grant,
        audience: str,
        rev: int,
        issued_at: datetime,
        expires_at: datetime,
    ) -> str:
        granted = set(grant.scopes)
        mask = sum(1 << bit for bit, name in enumerate(session.scopes) if name in granted)
        return _held(keys.sealer).seal(
            OpaqueAccess(
                key_id="",
                session_id=str(session.session_id),
                generation=session.generation,
                audience_index=session.audiences.index(audience),
                scope_mask=mask,
                issued_at=int(issued_at.timestamp()),
                expires_at=int(expires_at.timestamp()),
                rev=rev,
                auth_time=int(session.auth_time.timestamp()),
                acr=session.acr,
                amr=int(session.amr),
            )
        )

    def _rolling(
        self, keys: HeldKeys, session: Generation, grant: Grant, policy: ClientPolicy, rev: int
    ) -> IssuedAccess:
        issued_at = _whole(session.rotated_at)
        expires_at = _end(issued_at, issued_at + policy.rolling_lifetime, session)
        audience = grant.audiences[0]
        token_id = _derived_id(session.session_id, session.generation)
        facts = _facts(
            session,
            TokenKind.ROLLING,
            grant=grant,
            audience=audience,
            rev=rev,
            issued_at=issued_at,
            expires_at=expires_at,
            token_id=token_id,
        )
        claim = keys.mint.exchange_claim(session.lookup_id, session.generation)
        return IssuedAccess(
            token=_held(keys.signer).sign(facts, claim),
            audience=audience,
            scopes=grant.scopes,
            format=AccessFormat.JWT,
            expires_at=expires_at,
            exchange_until=min(session.idle_expires_at, session.absolute_expires_at),
        )


def _held(key: Key | None) -> Key:
    if key is None:  # what was made ready was for tokens of another form
        raise TokenServiceError(Reason.INTERNAL, "a key is not in hand")
    return key


def _facts(
    session: Generation,
    kind: TokenKind,
    *,
    grant: Grant,
    audience: str,
    rev: int,
    issued_at: datetime,
    expires_at: datetime,
    token_id: str,
) -> Facts:
    return Facts(
        kind=kind,
        subject=session.subject,
        client_id=session.client_id,
        session_id=str(session.session_id),
        device_id=session.device_id,
        audience=audience,
        scopes=frozenset(grant.scopes),
        roles=session.roles,
        issued_at=int(issued_at.timestamp()),
        expires_at=int(expires_at.timestamp()),
        auth_time=int(session.auth_time.timestamp()),
        acr=acr_name(session.acr),
        amr=amr_names(session.amr),
        token_id=token_id,
        key_id="",
        rev=rev,
        confirmation=session.confirmation,
    )


def _derived_id(session_id: UUID, generation: int) -> str:
    digest = sha256(b"rolling jti\0" + session_id.bytes + generation.to_bytes(4, "big"))
    return str(UUID(bytes=digest.digest()[:16], version=4))


def _end(issued_at: datetime, end: datetime, session: Generation) -> datetime:
    """When a token ends: with its session at the latest. A reader takes no token that ends in the
    second of its making, so in the last second of a session that has to pass."""
    whole = _whole(min(end, session.absolute_expires_at))
    return max(whole, issued_at + timedelta(seconds=1))


def _whole(moment: datetime) -> datetime:
    """NumericDate has whole seconds (RFC 7519); the same second everywhere it is shown."""
    return moment - timedelta(microseconds=moment.microsecond)
