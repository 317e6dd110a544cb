"""Tokens, composed."""

from dataclasses import dataclass

from token_service.app.parts import Parts
from token_service.app.usecases.shared import Shared
from token_service.usecases.keys.administration import CompromiseKey
from token_service.usecases.tokens.validate import Validate
from token_service.usecases.trust.revoke import Revoke


@dataclass(frozen=True, slots=True)
class TokenUseCases:
    """Tokens are validated and revoked."""

    validate: Validate
    revoke: Revoke


def tokens(parts: Parts, shared: Shared, compromise_key: CompromiseKey) -> TokenUseCases:
    """Compose them."""
    return TokenUseCases(
        validate=Validate(
            tokens=parts.tokens,
            sessions=parts.redis.facts,
            trust=parts.trust,
            clock=parts.clock,
            activity=parts.activity,
            cache=parts.identities,
        ),
        revoke=Revoke(
            mint=parts.mint,
            tokens=parts.tokens,
            sessions=parts.sessions,
            facts=parts.redis.facts,
            users=parts.users,
            clients=shared.records,
            revocations=parts.revocations,
            trust=parts.trust,
            clock=parts.clock,
            shield=parts.shield,
            compromise_key=compromise_key,
        ),
    )
