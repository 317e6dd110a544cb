"""Clients of a single Redis (or Valkey), of a Cluster, or of a service watched by Sentinels.

They do not try anything again: `link.RedisLink` makes new ones instead. Connections are few, and
made with no more handshake than needed.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, ReadOnlyError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from token_service.adapters.redis.address import Kind, RedisAddress, Seed, parse

RedisClient = Redis | RedisCluster

STEP = 1.0
"""Seconds for a connection, and for an answer: after so long a connection counts as cut."""

MAX_CONNECTIONS = 16
PREFIX = "token-service:"
"""What all keys of the service begin with."""


def connect(
    url: str, *, max_connections: int = MAX_CONNECTIONS, timeout: float = STEP
) -> RedisClient:
    """Make a client for `url`; nothing is sent before the first command.

    `timeout` (seconds) bounds each attempt to connect. Who asks a single server, or the primary
    that Sentinels name, bounds the time for its answer. With TLS this reads certificates, for some
    40 ms. Raises ValueError, whose text repeats nothing of the URL, which may hold a password.
    """
    address = parse(url)
    try:
        client = _client(address, max_connections, timeout)
        for pool in _pools(client):
            pool.make_connection()  # type: ignore[no-untyped-call] # refuses what is no option
    except (ssl.SSLError, OSError):
        raise ValueError("the Redis URL names a certificate file that cannot be used") from None
    except (ValueError, TypeError, RedisError):
        raise ValueError("the Redis URL has an option that cannot be used") from None
    return client


async def close(client: RedisClient) -> None:
    """Close the client with all its connections, those to Sentinels included."""
    with suppress(Exception):  # from connections that are gone, of any class
        if isinstance(client, RedisCluster):
            # Its own end leaves everything open after a failure.
            await client.nodes_manager.aclose()
            await client.nodes_manager.aclose("startup_nodes")
        await client.aclose()
        for pool in _pools(client):
            await pool.aclose()


def members(client: RedisClient) -> list[Seed]:
    """The members of the Cluster, which may be others than its URL names."""
    if isinstance(client, RedisCluster):
        return [(node.host, int(node.port)) for node in client.get_nodes()]
    return []


async def warm(client: RedisClient, connections: int, known: Sequence[Seed] = ()) -> None:
    """See that Redis takes writes, and make so many connections (to each member of a Cluster).

    `known` are members beside those that the URL names. Raises whatever keeps Redis from being of
    use.
    """
    if isinstance(client, RedisCluster):
        seeds = client.nodes_manager.startup_nodes
        for host, port in known:
            node = ClusterNode(host, port, **client.connection_kwargs)
            seeds.setdefault(node.name, node)
        _ = await client.initialize()
    try:
        await client.delete(f"{PREFIX}never-there")  # a replica refuses to write even nothing
    except Exception as error:
        # The key's member may be lost while others go on: the pings say so.
        lost_member = isinstance(client, RedisCluster) and not isinstance(error, ClusterDownError)
        if not (lost_member or is_refusal(error)):
            raise
    await asyncio.gather(*(ping(client) for _ in range(connections)))


async def ping(client: RedisClient) -> None:
    """Use one connection (to each member of a Cluster). Raises what keeps Redis from answering, in
    a Cluster only when no member answers."""
    answers = await asyncio.gather(
        *(client.execute_command("PING", **target) for target in targets(client)),
        return_exceptions=True,
    )
    errors = [one for one in answers if isinstance(one, BaseException) and not is_refusal(one)]
    if len(errors) == len(answers):
        raise errors[0]


def is_refusal(error: BaseException) -> bool:
    """Whether Redis is well, and just this command, or the value that it met, is not."""
    return isinstance(error, ResponseError) and not isinstance(
        error, ReadOnlyError | ClusterDownError
    )


def _pools(client: RedisClient) -> list[ConnectionPool]:
    """Of a client that is none of a Cluster, with those to Sentinels."""
    pool = getattr(client, "connection_pool", None)
    own = [pool] if isinstance(pool, ConnectionPool) else []
    return [*own, *(one.connection_pool for one in sentinels(client))]


def sentinels(client: RedisClient) -> list[Redis]:
    """Clients of the Sentinels, where there are any."""
    pool = getattr(client, "connection_pool", None)
    if isinstance(pool, SentinelConnectionPool):
        return list(pool.sentinel_manager.sentinels)
    return []


def targets(client: RedisClient) -> list[dict[str, Any]]:
    """For each server that takes writes, the argument with which a command goes there."""
    if isinstance(client, RedisCluster):
        return [{"target_nodes": node} for node in client.get_primaries()]
    return [{}]


def _client(address: RedisAddress, max_connections: int, timeout: float) -> RedisClient:
    ours = {
        "max_connections": max_connections,
        "socket_timeout": None,  # the library would begin a task for each command
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
        "protocol": 2,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    step = {"socket_timeout": timeout}
    options = {**address.options, **ours}
    if address.kind is Kind.CLUSTER:
        return _cluster(address, options | step)
    if address.kind is Kind.SENTINEL:
        return _by_sentinels(address, options, {**address.sentinel_options, **ours, **step})
    if "path" in options:
        plain: type[AbstractConnection] = UnixDomainSocketConnection
    else:
        plain = Connection
    return Redis.from_pool(
        ConnectionPool(
            connection_class=_sharing(SSLConnection, options) if address.tls else plain, **options
        )
    )


def _cluster(address: RedisAddress, options: dict[str, Any]) -> RedisCluster:
    client = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in address.seeds],
        ssl=address.tls,
        # A slot that moved is mended by itself; closing all connections would fail other calls.
        reinitialize_steps=0,
        **options,
    )
    if address.tls:
        sharing = _sharing(SSLConnection, options)
        client.connection_kwargs["connection_class"] = sharing
        for node in client.startup_nodes:
            node.connection_class = sharing
    return client


def _by_sentinels(
    address: RedisAddress, options: dict[str, Any], sentinel_options: dict[str, Any]
) -> Redis:
    manager = Sentinel([], sentinel_kwargs={})  # type: ignore[no-untyped-call]
    watch = _sharing(SSLConnection, sentinel_options) if address.sentinel_tls else Connection
    for host, port in address.seeds:
        pool = ConnectionPool(connection_class=watch, host=host, port=port, **sentinel_options)
        manager.sentinels.append(Redis.from_pool(pool))
    managed: type[AbstractConnection] = SentinelManagedConnection
    if address.tls:
        managed = _sharing(SentinelManagedSSLConnection, options)
    client: Redis = manager.master_for(address.service, connection_class=managed, **options)
    return client


def _sharing(kind: type[SSLConnection], options: Mapping[str, Any]) -> type[SSLConnection]:
    """Connections that share one TLS context, for each would read all authorities for itself."""
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    context = SSLConnection(**tls).ssl_context
    context.get()

    class Sharing(kind):  # type: ignore[valid-type,misc] # a base by parameter
        def __init__(self, **options: Any) -> None:  # noqa: ANN401 - redis-py's
            super().__init__(**options)
            self.ssl_context = context

    return Sharing
