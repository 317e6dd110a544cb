"""Clients of a single Redis (or Valkey), of a Cluster, or of a service watched by Sentinels.

No client retries and every socket operation ends after `SOCKET_TIMEOUT` seconds: a Redis that
does not answer is worth less than asking Postgres. Connections are few, and made with no more
handshake than needed (measured: 1 ms instead of 5), for all that start at once share that time.
"""

from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

RedisClient = Redis | RedisCluster

SOCKET_TIMEOUT = 0.05
MAX_CONNECTIONS = 16
_SENTINEL_PORT = 26379


def connect(
    url: str, *, max_connections: int = MAX_CONNECTIONS, timeout: float = SOCKET_TIMEOUT
) -> RedisClient:
    """Make a client for `url`; nothing is sent before the first command.

    `timeout` (seconds) bounds each step of a command: a connection, a write, a read.
    `redis://`, `rediss://` (TLS) and `unix://` name one server, `redis+cluster://` a node of a
    Cluster, `redis+sentinel://[user:password@]host:port[,host:port]/service[/db]` a service by
    its Sentinels (`rediss+…` with TLS). Raises ValueError for anything else; its text repeats
    nothing of the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        scheme, _, topology = parts.scheme.partition("+")
        if topology == "sentinel" and scheme in {"redis", "rediss"}:
            return _by_sentinel(parts, scheme == "rediss", max_connections, timeout)
        if topology == "cluster" and scheme in {"redis", "rediss"}:
            node = urlunsplit(parts._replace(scheme=scheme))
            return RedisCluster.from_url(node, max_connections=max_connections, **_options(timeout))
        if topology:
            raise ValueError  # noqa: TRY301 - all causes end in one text
        pool = BlockingConnectionPool.from_url(
            url, max_connections=max_connections, timeout=timeout, **_options(timeout)
        )
    except ValueError:
        raise ValueError("not a usable Redis URL") from None
    return Redis.from_pool(pool)


async def close(client: RedisClient) -> None:
    """Close the client with all its connections, those to Sentinels included."""
    await client.aclose()
    pool = getattr(client, "connection_pool", None)
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def _options(timeout: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _by_sentinel(
    parts: SplitResult,
    tls: bool,
    max_connections: int,
    timeout: float,
) -> Redis:
    credentials, _, addresses = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError
    sentinels = [_address(address) for address in addresses.split(",")]
    transport = {**_options(timeout), "ssl": tls}
    manager = Sentinel(  # type: ignore[no-untyped-call]
        sentinels, sentinel_kwargs=transport, **transport
    )
    client: Redis = manager.master_for(
        service,
        max_connections=max_connections,
        username=unquote(username) or None,
        password=unquote(password) or None,
        db=int(database or 0),
    )
    return client


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, _SENTINEL_PORT
    return host.strip("[]"), int(port)
