"""GCRA, the leaky bucket that needs one number per key: a cheap front of the counted limits."""

import hashlib
from datetime import timedelta
from typing import Any

from redis.exceptions import NoScriptError

from token_service.adapters.redis.connection import RedisClient
from token_service.adapters.redis.gate import RedisGate
from token_service.adapters.redis.link import RedisAway

# KEYS[1] holds the theoretical arrival time (TAT) of the next call, in microseconds of the
# server's clock. Whatever else is found there (a clock that stepped back, a value of somebody
# else's) is brought into [now, now + span], so it delays nobody for longer than one full burst.
# ARGV: microseconds per call, calls per burst. Returns the microseconds to wait, 0: go on.
_GCRA = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = tonumber(ARGV[1])
local span = interval * tonumber(ARGV[2])
local tat = tonumber(redis.call('GET', KEYS[1]) or '') or now
if not (tat >= now) then tat = now end
if tat > now + span then tat = now + span end
local ahead = tat + interval - now
if ahead > span then return math.ceil(ahead - span) end
redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000))
return 0
"""

_SHA = hashlib.sha1(_GCRA.encode(), usedforsecurity=False).hexdigest()

_MICROSECONDS_PER_MINUTE = 60_000_000


class GcraLimiter:
    """Implements `ports.CoarseLimiter`; lets everything pass while Redis is away."""

    def __init__(self, gate: RedisGate) -> None:
        self._gate = gate

    async def allow(self, key: bytes, per_minute: int, burst: int) -> timedelta | None:
        """None: go on; else the time after which one more call of `key` may pass.

        `burst` calls (at least 1) may come at once, `per_minute` (at least 1) in the long run.
        """
        given: tuple[Any, ...] = (
            1,
            self._gate.key("limit", key.hex()),
            _MICROSECONDS_PER_MINUTE // per_minute,
            burst,
        )

        async def run(client: RedisClient) -> Any:  # noqa: ANN401 - what the script returns
            try:
                return await client.evalsha(_SHA, *given)
            except NoScriptError:  # this server's first call, which also keeps the script
                return await client.eval(_GCRA, *given)

        try:
            wait = int(await self._gate.ask(run))
        except RedisAway:
            return None
        return timedelta(microseconds=wait) if wait > 0 else None
