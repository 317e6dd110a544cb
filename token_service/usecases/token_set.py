"""Makes the tokens of one session generation."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from token_service.domain.grants import Grant
from token_service.domain.kinds import AccessFormat, TokenKind
from token_service.domain.policy import ClientPolicy
from token_service.domain.ports import AccessTokens, Randomness, SessionMint
from token_service.domain.records import Generation
from tokenservice.core import Facts, OpaqueAccess, acr_name, amr_names


@dataclass(frozen=True, slots=True)
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


class TokenSetMaker:
    """Makes a generation's session token and its access tokens, one per audience.

    The session token, and a rolling token's identity and times, are a function of the session's
    row: made again after a lost reply they are the same.
    """

    def __init__(self, mint: SessionMint, tokens: AccessTokens, random: Randomness) -> None:
        self._mint = mint
        self._tokens = tokens
        self._random = random

    def make(
        self, session: Generation, grant: Grant, policy: ClientPolicy, rev: int, now: datetime
    ) -> IssuedTokens:
        """Tokens of the session's current generation. `rev` is the trust revision of the
        snapshot that allowed them."""
        if session.kind is TokenKind.ROLLING:
            token = self._rolling(session, grant, policy, rev)
            return IssuedTokens("", session, (token,))
        session_token = self._mint.token(
            session.kind, session.lookup_id, session.generation, session.mint_kid
        )
        expires_at = _whole(min(now + policy.access_lifetime, session.absolute_expires_at))
        accesses = tuple(
            self._access(session, grant, audience, policy, rev, _whole(now), expires_at)
            for audience in grant.audiences
        )
        return IssuedTokens(session_token, session, accesses)

    def _access(
        self,
        session: Generation,
        grant: Grant,
        audience: str,
        policy: ClientPolicy,
        rev: int,
        issued_at: datetime,
        expires_at: datetime,
    ) -> IssuedAccess:
        if policy.access_format is AccessFormat.OPAQUE:
            token = self._opaque(session, grant, audience, rev, issued_at, expires_at)
            return IssuedAccess(token, audience, grant.scopes, AccessFormat.OPAQUE, expires_at)
        facts = _facts(
            session,
            TokenKind.ACCESS,
            grant,
            audience,
            rev,
            issued_at,
            expires_at,
            str(self._random.uuid()),
        )
        token = self._tokens.sign_jwt(facts, policy.signing_algorithm)
        return IssuedAccess(token, audience, grant.scopes, AccessFormat.JWT, expires_at)

    def _opaque(
        self,
        session: Generation,
        grant: Grant,
        audience: str,
        rev: int,
        issued_at: datetime,
        expires_at: datetime,
    ) -> str:
        granted = set(grant.scopes)
        mask = sum(1 << bit for bit, name in enumerate(session.scopes) if name in granted)
        return self._tokens.seal_opaque(
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
        self, session: Generation, grant: Grant, policy: ClientPolicy, rev: int
    ) -> IssuedAccess:
        issued_at = _whole(session.rotated_at)
        expires_at = _whole(min(issued_at + policy.rolling_lifetime, session.absolute_expires_at))
        audience = grant.audiences[0]
        token_id = _derived_id(session.session_id, session.generation)
        facts = _facts(
            session, TokenKind.ROLLING, grant, audience, rev, issued_at, expires_at, token_id
        )
        claim = self._mint.exchange_claim(session.lookup_id, session.generation, session.mint_kid)
        token = self._tokens.sign_jwt(facts, policy.signing_algorithm, claim)
        return IssuedAccess(
            token,
            audience,
            grant.scopes,
            AccessFormat.JWT,
            expires_at,
            min(session.idle_expires_at, session.absolute_expires_at),
        )


def _facts(
    session: Generation,
    kind: TokenKind,
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


def _whole(moment: datetime) -> datetime:
    """NumericDate has whole seconds (RFC 7519); the same second everywhere it is shown."""
    return moment - timedelta(microseconds=moment.microsecond)
