"""What Redis is used for, composed."""

from dataclasses import dataclass

from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.postgres.sessions.store import SessionStore
from token_service.adapters.redis import connection
from token_service.adapters.redis.activity import RedisActivityMarks
from token_service.adapters.redis.facts import CachedSessionFacts
from token_service.adapters.redis.gate import RedisGate
from token_service.adapters.redis.limiter import GcraLimiter
from token_service.adapters.redis.pairing import RedisPendingPairings
from token_service.adapters.redis.seals import EntrySeals
from token_service.adapters.system import AnchoredSystemClock
from token_service.adapters.without_redis import (
    NoCoarseLimit,
    NoPendingPairings,
    OwnActivity,
    StoredSessionFacts,
)
from token_service.config import Settings
from token_service.domain import ports

PENDING_PAIRINGS_TIMEOUT = 1.0
"""How long Redis may take, in seconds, where there is nobody else to ask: for pairings that were
not scanned yet."""


@dataclass(frozen=True, slots=True)
class RedisParts:
    """What Redis accelerates, or its stand-ins where there is none."""

    facts: ports.SessionFacts
    coarse: ports.CoarseLimiter
    marks: ports.ActivityMarks
    pairings: ports.PendingPairings
    gates: tuple[RedisGate, ...] = ()

    async def close(self) -> None:
        """Close the connections."""
        if isinstance(self.facts, CachedSessionFacts):
            await self.facts.close()
        for gate in self.gates:
            await gate.close()


def redis_parts(
    settings: Settings, secret_keys: SecretKeys, store: SessionStore, clock: AnchoredSystemClock
) -> RedisParts:
    """What the settings say. Nothing is sent before the first command."""
    if settings.redis_url is None:
        return RedisParts(
            StoredSessionFacts(store), NoCoarseLimit(), OwnActivity(), NoPendingPairings()
        )
    gate = _redis_gate(settings, settings.redis_timeout.total_seconds())
    patient = _redis_gate(settings, PENDING_PAIRINGS_TIMEOUT)
    seals = EntrySeals(secret_keys.cache_keys())
    return RedisParts(
        CachedSessionFacts(gate=gate, store=store, clock=clock, seals=seals),
        GcraLimiter(gate),
        RedisActivityMarks(gate),
        RedisPendingPairings(patient, seals),
        (gate, patient),
    )


def _redis_gate(settings: Settings, timeout: float) -> RedisGate:
    url = settings.redis_url
    client = connection.connect(
        url.get_secret_value() if url else "",
        max_connections=settings.redis_connections,
        timeout=timeout,
    )
    return RedisGate(client, budget=timeout)
