"""Keys, tokens, secrets and passwords."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from token_service.domain.keys.key import Key
from token_service.domain.kinds import KeyPurpose, KeyState, TokenKind
from tokenservice.core import Facts, OpaqueAccess, TrustKey


@dataclass(frozen=True, slots=True)
class AuthenticSession:
    """A session token whose MAC was right."""

    kind: TokenKind
    lookup_id: UUID
    generation: int
    mint_kid: str


class HeldMintKey(Protocol):
    """One mint key in hand: it makes tokens also when it is replaced meanwhile."""

    @property
    def kid(self) -> str: ...

    def token(self, kind: TokenKind, lookup_id: UUID, generation: int) -> str:
        """The session token of one generation, the same each time. A secret."""
        ...

    def exchange_claim(self, lookup_id: UUID, generation: int) -> bytes:
        """The `xt` claim of a rolling token. A secret."""
        ...


class SessionMint(Protocol):
    """Makes and authenticates session tokens; nothing of them is stored."""

    def active(self) -> HeldMintKey:
        """The key that the next generation is made with. Raises KEY_STATE for none."""
        ...

    def held(self, mint_kid: str) -> HeldMintKey:
        """The key of a generation that is there. Raises TOKEN_REVOKED for a compromised key,
        TRUST_STALE for one not known here."""
        ...

    def authenticate(self, token: str) -> AuthenticSession:
        """Accepts session tokens and rolling JWTs (by `xt`, whatever their expiry). Raises
        TOKEN_MALFORMED, TOKEN_UNKNOWN (bad MAC, unknown key), TOKEN_REVOKED (compromised mint
        key) or TRUST_STALE (its secret is missing here). Touches no store."""
        ...


class TokenSigner(Protocol):
    """One signing key in hand: what was measured with it is signed with it."""

    def length(self, facts: Facts) -> int:
        """Characters of the JWT with `facts`, at most: whatever `rev` will be."""
        ...

    def sign(self, facts: Facts, exchange_claim: bytes = b"") -> str:
        """A JWT with `facts`; `facts.key_id` is ignored. A rolling token needs its
        `exchange_claim`, an access token has none."""
        ...


class TokenSealer(Protocol):
    """One key of opaque access tokens in hand."""

    @property
    def length(self) -> int:
        """Characters of each token."""
        ...

    def seal(self, access: OpaqueAccess) -> str:
        """An opaque access token; `access.key_id` and its MAC are filled in."""
        ...


class AccessTokens(Protocol):
    """Makes and authenticates access tokens."""

    def signer(self, algorithm: str) -> TokenSigner:
        """The active key of `algorithm` (the default algorithm when empty). Raises KEY_STATE when
        there is none."""
        ...

    def sealer(self) -> TokenSealer:
        """The active key of opaque access tokens. Raises KEY_STATE when there is none."""
        ...

    def authenticate_jwt(self, token: str) -> Facts:
        """Strict parse and signature check; no time, no trust. Raises tokenservice.core's
        MalformedToken, UnknownToken, or UnknownKey, which names the key."""
        ...

    def authenticate_opaque(self, token: str) -> OpaqueAccess:
        """Checksum and MAC. Raises MalformedToken, UnknownToken or UnknownKey."""
        ...


class Secrets(Protocol):
    """Client and registration secrets: made, hashed under a pepper, compared."""

    def make(self, code: str, context: bytes) -> tuple[str, bytes, str]:
        """(secret, hash, pepper id). Derived from `context` and a pepper, so the same request
        gives the same secret again while that pepper is the active one."""
        ...

    def hash(self, code: str, secret: str, pepper_id: str) -> bytes | None:
        """None when the pepper is not known (any more). Raises MalformedToken."""
        ...

    def check(self, code: str, secret: str) -> None:
        """Raises MalformedToken for what is not shaped like such a secret."""
        ...

    def rehash(self, code: str, secret: str, pepper_id: str) -> tuple[bytes, str] | None:
        """(hash, pepper id) under the active pepper; None where `pepper_id` is that, and where
        this node cannot have it."""
        ...

    def active_pepper(self) -> str: ...

    def bucket(self, *parts: str) -> bytes:
        """A stable keyed hash for limiter buckets, the same on all nodes."""
        ...


class PasswordHasher(Protocol):
    """Argon2id in a bounded pool. Raises OVERLOADED when the queue is full."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """None as the hash (unknown user) takes the same time and is False."""
        ...

    def outdated(self, password_hash: str) -> bool: ...


class KeyMaterial(Protocol):
    """Makes key records and holds the usable halves of all keys in memory."""

    def generate(
        self,
        purpose: KeyPurpose,
        algorithm: str,
        state: KeyState,
        now: datetime,
        activates_at: datetime,
    ) -> Key: ...

    def load(self, keys: Sequence[Key]) -> None:
        """Replace the keys in memory. Raises ValueError when one cannot be unsealed."""
        ...

    def missing_secrets(self) -> frozenset[str]:
        """The configured secrets that keys need and this node lacks, by id."""
        ...

    def public_keys(self) -> tuple[TrustKey, ...]:
        """What validators are told of the keys in memory."""
        ...


class CoarseLimiter(Protocol):
    """GCRA in Redis: a cheap front of the limits counted in Postgres."""

    async def allow(self, key: bytes, per_minute: int, burst: int) -> timedelta | None:
        """None: go on (also when Redis does not answer); else the time to wait."""
        ...
