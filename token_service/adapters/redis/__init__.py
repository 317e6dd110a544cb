"""What nodes share and may lose at any time: caches, markers and coarse limits in Redis.

Nothing here is a truth: whatever Redis says or fails to say costs time, never correctness.
"""

from token_service.adapters.redis.activity import RedisActivityMarks
from token_service.adapters.redis.connection import RedisClient, connect
from token_service.adapters.redis.facts import CachedSessionFacts
from token_service.adapters.redis.gate import RedisGate
from token_service.adapters.redis.limiter import GcraLimiter
from token_service.adapters.redis.link import RedisAway, RedisLink

__all__ = [
    "CachedSessionFacts",
    "GcraLimiter",
    "RedisActivityMarks",
    "RedisAway",
    "RedisClient",
    "RedisGate",
    "RedisLink",
    "connect",
]
