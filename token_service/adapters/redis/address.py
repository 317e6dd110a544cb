"""Where Redis is, as a URL says: one server, a service by its Sentinels, or a Cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from redis.asyncio.connection import SSLConnection, parse_url

_REDIS_PORT = 6379
_SENTINEL_PORT = 26379
_SENTINEL_OPTIONS = {
    "sentinel_username": "username",
    "sentinel_password": "password",
    "sentinel_ca_certs": "ssl_ca_certs",
}

Seed = tuple[str, int]


class Kind(Enum):
    """What a URL leads to."""

    SERVER = ""
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """A URL taken to pieces.

    `seeds` are the Sentinels of a `service`, or members of a Cluster; `options` are redis-py's for
    connections to servers (with host and port where there is just one), `sentinel_options` those
    for Sentinels; `tls` and `sentinel_tls` say over what both go.
    """

    kind: Kind
    tls: bool
    seeds: tuple[Seed, ...] = ()
    service: str = ""
    sentinel_tls: bool = False
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)


class _FaultError(ValueError):
    """What is wrong with a URL, in words that repeat nothing of it."""


def parse(url: str) -> RedisAddress:
    """Take a URL to pieces. Raises ValueError, whose text repeats nothing of the URL.

    `redis://`, `rediss://` (TLS) and `unix://` name one server; `redis+cluster://` members of a
    Cluster, `redis+sentinel://[user:password@]host[:port][,host[:port]]/service[/database]` a
    service by its Sentinels (both `rediss+…` with TLS). The query has redis-py's options, such as
    `ssl_ca_certs`. Sentinels have options of their own: `sentinel_username`, `sentinel_password`,
    and `sentinel_ca_certs`, which also means that they are reached over TLS.
    """
    try:
        return _parse(url)
    except _FaultError as fault:
        raise ValueError(f"not a usable Redis URL: {fault}") from None
    except ValueError:
        raise ValueError("not a usable Redis URL") from None


def _parse(url: str) -> RedisAddress:
    parts = urlsplit(url)
    scheme, _, topology = parts.scheme.partition("+")
    kind = Kind(topology)
    if "#" in url:
        raise _FaultError("it holds a #, which must be written %23")
    if kind is not Kind.SERVER and scheme not in {"redis", "rediss"}:
        raise ValueError
    if kind is Kind.SENTINEL:
        return _by_sentinels(parts, scheme)
    if kind is Kind.CLUSTER:
        options = _options(parts, scheme, parts.path)
        if options.get("db"):
            raise _FaultError("a Cluster has the database 0 alone")
        seeds = _seeds(parts, _REDIS_PORT)
        return RedisAddress(kind=kind, tls=scheme == "rediss", seeds=seeds, options=options)
    found = parse_url(url)
    tls = found.get("connection_class") is SSLConnection
    return RedisAddress(
        kind=kind, tls=tls, options=_without(found, ("connection_class", "timeout"))
    )


def _by_sentinels(parts: SplitResult, scheme: str) -> RedisAddress:
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise _FaultError("it names no service of the Sentinels, as in host:26379/service/0")
    options = _options(parts, scheme, f"/{int(database or 0)}")
    own = {
        option: options.pop(name) for name, option in _SENTINEL_OPTIONS.items() if name in options
    }
    tls = scheme == "rediss"
    inherited = {name: value for name, value in options.items() if name.startswith("ssl_")}
    return RedisAddress(
        kind=Kind.SENTINEL,
        tls=tls,
        seeds=_seeds(parts, _SENTINEL_PORT),
        service=service,
        sentinel_tls=tls or "ssl_ca_certs" in own,
        options=options if tls else _without(options, inherited),
        sentinel_options=inherited | own if tls else own,
    )


def _options(parts: SplitResult, scheme: str, path: str) -> dict[str, Any]:
    """What redis-py reads from a URL like this with a single host."""
    credentials = parts.netloc.rpartition("@")[0]
    like = urlunsplit((scheme, f"{credentials}@host", path, parts.query, ""))
    return _without(parse_url(like), ("host", "port", "connection_class", "timeout"))


def _without(options: Mapping[str, Any], names: Any) -> dict[str, Any]:  # noqa: ANN401 - a container
    return {name: value for name, value in options.items() if name not in names}


def _seeds(parts: SplitResult, port: int) -> tuple[Seed, ...]:
    seeds = []
    for address in parts.netloc.rpartition("@")[2].split(","):
        one = urlsplit(f"//{address}")
        if not one.hostname:
            raise _FaultError("it names no host, or an empty one between commas")
        seeds.append((one.hostname, one.port or port))
    return tuple(seeds)
