"""Whether Redis is of use: reachable, quick, and free to forget."""

import time
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import AuthenticationError, NoPermissionError

from token_service.adapters.redis.connection import close, connect
from token_service.cli.doctor.checks import Check, fail, ok, warn

SLOW = 0.010  # seconds
TOO_SLOW = 0.050  # seconds, after which the service asks PostgreSQL instead
_SECONDS = 2.0
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What the server says of itself; `latency` is the best of some round trips, in seconds, and
    `eviction` is empty where the user may not ask."""

    version: str
    latency: float
    max_memory: int
    eviction: str


async def read_facts(url: str) -> RedisFacts:
    """Ask the server. Raises redis.RedisError, or ValueError for an unusable address."""
    client: Any = connect(url, max_connections=1, timeout=_SECONDS)
    try:
        latencies = []
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            await client.ping()
            latencies.append(time.perf_counter() - started)
        info = await _info(client)
    finally:
        await close(client)
    return RedisFacts(
        version=str(info.get("valkey_version") or info.get("redis_version") or "unknown"),
        latency=min(latencies),
        max_memory=int(info.get("maxmemory", 0)),
        eviction=str(info.get("maxmemory_policy", "")),
    )


async def _info(client: Any) -> dict[str, Any]:  # noqa: ANN401 - as `connect` makes it
    try:
        info: dict[str, Any] = await client.info()
    except NoPermissionError:  # nobody but the doctor needs it
        return {}
    return info


def judge(facts: RedisFacts) -> list[Check]:
    """Judge what the server says of itself."""
    return [_latency(facts), _eviction(facts)]


async def check(url: str | None) -> list[Check]:
    """Check the server at `url`; None when the service does without."""
    if url is None:
        return [warn("redis", "not configured", "set TOKEN_SERVICE_REDIS_URL to answer faster")]
    try:
        return judge(await read_facts(url))
    except (redis.RedisError, OSError, ValueError) as error:
        return [_unusable(error)]


def _unusable(error: Exception) -> Check:
    """Only the kind of error: its text may quote the address, with the password."""
    kinds = type(error), type(error.__cause__)
    for kind in kinds:
        if issubclass(kind, (AuthenticationError, NoPermissionError)):
            return fail(
                "redis",
                f"refuses the user of TOKEN_SERVICE_REDIS_URL ({kind.__name__})",
                "correct user and password, or what the user may do; "
                "until then the service works, slower",
            )
    return fail(
        "redis",
        f"does not answer ({kinds[0].__name__})",
        "see that it runs and that TOKEN_SERVICE_REDIS_URL is right; "
        "until then the service works, slower",
    )


def _latency(facts: RedisFacts) -> Check:
    detail = f"version {facts.version}, {facts.latency * 1000:.1f} ms"
    if facts.latency > TOO_SLOW:
        return fail("redis", detail, "it answers too late to be of use: move it nearer")
    if facts.latency > SLOW:
        return warn("redis", detail, "it answers slowly: move it nearer")
    return ok("redis", detail)


def _eviction(facts: RedisFacts) -> Check:
    if not facts.eviction:
        return warn("redis memory", "the user may not read INFO", "see maxmemory-policy yourself")
    detail = f"policy {facts.eviction}, limit {facts.max_memory or 'none'}"
    if facts.max_memory == 0:
        return warn("redis memory", detail, "set maxmemory, or it may grow until it is killed")
    if facts.eviction == "noeviction":
        return warn(
            "redis memory",
            detail,
            "set maxmemory-policy to allkeys-lru: what the service keeps there may be forgotten, "
            "and a full server refuses new entries",
        )
    return ok("redis memory", detail)
