"""Whether Redis is of use: reachable as the service reaches it, quick, and free to forget."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ReadOnlyError, RedisError

from token_service.adapters.redis.address import parse
from token_service.adapters.redis.connection import (
    PREFIX,
    RedisClient,
    close,
    connect,
    ping,
    sentinels,
    targets,
    warm,
)
from token_service.cli.doctor.checks import Check, fail, ok, warn

SLOW = 0.010  # seconds
TOO_SLOW = 0.050  # seconds, after which the service asks PostgreSQL instead
_SECONDS = 5.0
_ROUNDS = 5
_KEY = f"{PREFIX}doctor"
_COMMANDS: tuple[tuple[str | int, ...], ...] = (
    ("PING",),
    ("SET", _KEY, "1", "PX", 1000),
    ("GET", _KEY),
    ("GETRANGE", _KEY, 0, 1),
    ("EVAL", "return redis.call('TIME')", 1, _KEY),
    ("EVALSHA", "0" * 40, 1, _KEY),
    ("DEL", _KEY),
)
"""What the service does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """What the servers say of themselves, and what they do for the service.

    `latency` is the best of some round trips and `opening` the time before the first, in seconds;
    `max_memory` and `eviction` are of the server where they are worst, and `eviction` is empty
    where the user may not ask; `denied` are commands of the service that the user may not give;
    `servers` take writes, and `silent` of them do not answer.
    """

    version: str
    latency: float
    max_memory: int
    eviction: str
    opening: float = 0.0
    denied: tuple[str, ...] = ()
    servers: int = 1
    silent: int = 0


def judge(facts: RedisFacts, budget: float = TOO_SLOW) -> list[Check]:
    """Judge what the servers say of themselves; `budget` (seconds) is what the service waits."""
    return [_latency(facts, budget), *_members(facts), *_rights(facts), _eviction(facts)]


async def check(url: str | None, budget: float = TOO_SLOW) -> list[Check]:
    """Check what the service would use with `url`; None when it does without."""
    if url is None:
        return [warn("redis", "not configured", "set TOKEN_SERVICE_REDIS_URL to answer faster")]
    client = await asyncio.to_thread(connect, url, max_connections=2, timeout=_SECONDS / 5)
    try:
        watchers = await _sentinels(client, parse(url).service)
        try:
            async with asyncio.timeout(_SECONDS):
                facts = await read_facts(client)
        except Exception as error:  # noqa: BLE001 - the library raises more than it says
            return [*watchers, _unusable(error)]
        return [*watchers, *judge(facts, budget)]
    finally:
        await close(client)


async def read_facts(client: RedisClient) -> RedisFacts:
    """Ask the servers. Raises what keeps Redis from being of use."""
    began = time.perf_counter()
    await warm(client, 1)
    opening = time.perf_counter() - began
    latencies = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        await ping(client)
        latencies.append(time.perf_counter() - began)
    denied = [str(command[0]) for command in _COMMANDS if await _is_denied(client, command)]
    said = [await _info(client, target) for target in targets(client)]
    told = [info for info in said if info]
    worst = min(told, key=_forgets, default={})
    return RedisFacts(
        version=str(worst.get("valkey_version") or worst.get("redis_version") or "unknown"),
        latency=min(latencies),
        max_memory=int(worst.get("maxmemory", 0)),
        eviction=str(worst.get("maxmemory_policy", "")),
        opening=opening,
        denied=tuple(denied),
        servers=len(said),
        silent=said.count(None),
    )


async def _is_denied(client: RedisClient, command: Sequence[str | int]) -> bool:
    try:
        await client.execute_command(*command)
    except NoPermissionError:
        return True
    except RedisError as error:  # NOSCRIPT, or a member that is lost
        return "NOPERM" in str(error) or "permission" in str(error)
    return False


async def _info(client: RedisClient, target: dict[str, Any]) -> dict[str, Any] | None:
    """Empty where the user may not ask, which nobody but the doctor needs; None: no answer."""
    try:
        info: dict[str, Any] = await client.info(**target)
    except NoPermissionError:
        return {}
    except RedisError:
        return None
    return info


def _forgets(info: dict[str, Any]) -> tuple[bool, bool]:
    return info.get("maxmemory", 0) > 0, info.get("maxmemory_policy") != "noeviction"


async def _sentinels(client: RedisClient, service: str) -> list[Check]:
    """What each Sentinel says of the service, where there are any."""
    watching = sentinels(client)
    if not watching:
        return []
    faults = [one for one in [await _fault(each, service) for each in watching] if one]
    detail = f"{len(watching) - len(faults)} of {len(watching)} know the service"
    if not faults:
        return [ok("redis sentinels", detail)]
    judged = fail if len(faults) == len(watching) else warn
    advice = "see the Sentinels of TOKEN_SERVICE_REDIS_URL, its service and its sentinel_ options"
    return [
        judged("redis sentinels", f"{detail}; others: {', '.join(sorted(set(faults)))}", advice)
    ]


async def _fault(sentinel: Redis, service: str) -> str:
    try:
        async with asyncio.timeout(_SECONDS):
            return "" if service in await sentinel.sentinel_masters() else "unknown service"
    except Exception as error:  # noqa: BLE001 - the library raises more than it says
        return type(error).__name__


def _unusable(error: Exception) -> Check:
    """Only the kind of error: its text may quote the address, with the password."""
    kinds = type(error), type(error.__cause__)
    if any(issubclass(kind, (AuthenticationError, NoPermissionError)) for kind in kinds):
        return fail(
            "redis",
            f"refuses the user of TOKEN_SERVICE_REDIS_URL ({kinds[0].__name__})",
            "correct user and password, or what the user may do; "
            "until then the service works, slower",
        )
    if isinstance(error, ReadOnlyError):
        return fail(
            "redis",
            "takes no writes: it is a replica",
            "name the primary in TOKEN_SERVICE_REDIS_URL, or its Sentinels; "
            "until then the service works, slower",
        )
    return fail(
        "redis",
        f"does not answer ({kinds[0].__name__})",
        "see that it runs and that TOKEN_SERVICE_REDIS_URL is right; "
        "until then the service works, slower",
    )


def _latency(facts: RedisFacts, budget: float) -> Check:
    detail = (
        f"version {facts.version}, {facts.latency * 1000:.1f} ms, "
        f"connected in {facts.opening * 1000:.0f} ms"
    )
    if facts.latency > budget:
        return fail("redis", detail, "it answers too late to be of use: move it nearer")
    if facts.latency > SLOW:
        return warn("redis", detail, "it answers slowly: move it nearer")
    return ok("redis", detail)


def _members(facts: RedisFacts) -> list[Check]:
    if facts.silent:
        detail = f"{facts.silent} of {facts.servers} do not answer"
        advice = "bring them back: what they keep is asked of PostgreSQL, and their pairings fail"
        return [warn("redis members", detail, advice)]
    return [ok("redis members", str(facts.servers))] if facts.servers > 1 else []


def _rights(facts: RedisFacts) -> list[Check]:
    if not facts.denied:
        return []
    return [
        fail(
            "redis rights",
            f"the user may not: {', '.join(facts.denied)}",
            "allow them, for keys that begin with token-service:",
        )
    ]


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
