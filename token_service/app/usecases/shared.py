"""Use cases that several subjects need, and what they are made of."""

from dataclasses import dataclass

from token_service.app.parts import Parts
from token_service.usecases.clients.records import ClientRecords
from token_service.usecases.refusals import Refusals
from token_service.usecases.sessions.exchange import SessionRotation
from token_service.usecases.sessions.overview import SessionAccess
from token_service.usecases.tokens.token_limits import TokenLimits
from token_service.usecases.tokens.token_set import TokenSetMaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What several subjects need of the use cases."""

    refusals: Refusals
    limits: TokenLimits
    maker: TokenSetMaker
    records: ClientRecords
    access: SessionAccess
    rotation: SessionRotation


def share(parts: Parts) -> Shared:
    """Compose it, once for a server."""
    maker = TokenSetMaker(mint=parts.mint, tokens=parts.tokens, random=parts.random)
    return Shared(
        refusals=Refusals(attempts=parts.attempts, secrets=parts.secrets, clock=parts.clock),
        limits=TokenLimits(parts.tokens),
        maker=maker,
        records=ClientRecords(parts.clients, parts.client_cache),
        access=SessionAccess(mint=parts.mint, sessions=parts.sessions, clock=parts.clock),
        rotation=SessionRotation(
            client_cache=parts.client_cache,
            mint=parts.mint,
            sessions=parts.sessions,
            revocations=parts.revocations,
            trust=parts.trust,
            maker=maker,
            durability=parts.durability,
            clock=parts.clock,
        ),
    )
