"""What Redis is used for, composed."""

from collections.abc import Callable
from dataclasses import dataclass

from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.postgres.sessions.store import SessionStore
from token_service.adapters.redis import connection
from token_service.adapters.redis.activity import RedisActivityMarks
from token_service.adapters.redis.facts import CachedSessionFacts
from token_service.adapters.redis.gate import RedisGate
from token_service.adapters.redis.limiter import GcraLimiter
from token_service.adapters.redis.link import RedisLink
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

PENDING_PAIRINGS_TIMEOUT = 2.0
"""How long Redis may take, in seconds, where there is nobody else to ask: for pairings that were
not scanned yet."""


@dataclass(frozen=True, slots=True)
class RedisParts:
    """What Redis accelerates, or its stand-ins where there is none."""

    facts: ports.SessionFacts
    coarse: ports.CoarseLimiter
    marks: ports.ActivityMarks
    pairings: ports.PendingPairings
    link: RedisLink | None = None

    def start(self) -> None:
        """Begin to connect, in the background."""
        if self.link is not None:
            self.link.start()

    async def close(self) -> None:
        """Close the connections."""
        if isinstance(self.facts, CachedSessionFacts):
            await self.facts.close()
        if self.link is not None:
            await self.link.close()


def redis_parts(
    settings: Settings, secret_keys: SecretKeys, store: SessionStore, clock: AnchoredSystemClock
) -> RedisParts:
    """What the settings say. Nothing is sent before `RedisParts.start` or the first command."""
    if settings.redis_url is None:
        return RedisParts(
            StoredSessionFacts(store), NoCoarseLimit(), OwnActivity(), NoPendingPairings()
        )
    link = RedisLink(connector(settings), connections=settings.redis_connections)
    gate = RedisGate(link, budget=settings.redis_timeout.total_seconds())
    patient = RedisGate(link, budget=PENDING_PAIRINGS_TIMEOUT, insists=True)
    seals = EntrySeals(secret_keys.cache_keys())
    return RedisParts(
        CachedSessionFacts(gate=gate, store=store, clock=clock, seals=seals),
        GcraLimiter(gate),
        RedisActivityMarks(gate),
        RedisPendingPairings(patient, seals),
        link,
    )


def connector(settings: Settings) -> Callable[[], connection.RedisClient]:
    """What makes clients by the settings; may be called in any thread."""

    def connect() -> connection.RedisClient:
        """Read the address anew where it comes from a file: its password may have changed."""
        file, url = settings.file_of("redis_url"), settings.redis_url
        text = file.read_text("utf-8").strip() if file else url.get_secret_value() if url else ""
        return connection.connect(text, max_connections=settings.redis_connections)

    return connect
