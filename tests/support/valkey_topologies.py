"""Valkey as companies run it: a primary with a replica under Sentinels, and a Cluster.

All are processes on 127.0.0.1 that a test may freeze, kill and start again, with their keys in
memory alone. The wheel's program knows no TLS: a test puts a proxy with a certificate before it.
"""

import contextlib
import secrets
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Self

import redis

from tests.support.valkey_node import ValkeyNode, free_ports
from tests.support.waiting import wait_until

SERVICE = "tokens"
"""The name under which the Sentinels know the primary."""

DOWN_AFTER = 0.5
"""Seconds of silence after which Sentinels and members of a Cluster give a server up."""

_SLOTS = 16_384


class _Topology:
    """Nodes that are started together, and killed together at the end."""

    def __init__(self) -> None:
        self.password = secrets.token_urlsafe(12)
        self.servers: list[ValkeyNode] = []
        self.sentinels: list[ValkeyNode] = []

    def __enter__(self) -> Self:
        try:
            self._begin(self.servers)
            self._compose()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in (*self.sentinels, *self.servers):
            node.kill()

    def _begin(self, nodes: Sequence[ValkeyNode]) -> None:
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait()

    def _compose(self) -> None:
        """Make one service of the servers, which run."""

    def _server_lines(self) -> list[str]:
        return [
            'save ""',
            "appendonly no",
            "maxmemory 64mb",
            "maxmemory-policy allkeys-lru",
            "repl-diskless-sync-delay 0",
            f"requirepass {self.password}",
            f"primaryauth {self.password}",
        ]


class SentinelService(_Topology):
    """A primary, its replica, and Sentinels that fail over within about a second.

    With `sentinel_user` the Sentinels ask for that user and `sentinel_password`; without it they
    ask for nothing. Both Sentinels of two must run for a failover, two of three.
    """

    def __init__(self, folder: Path, *, sentinels: int = 2, sentinel_user: str = "") -> None:
        super().__init__()
        self.sentinel_user = sentinel_user
        self.sentinel_password = secrets.token_urlsafe(12) if sentinel_user else ""
        ports = free_ports(2 + sentinels)
        self.servers = [
            ValkeyNode(folder / "primary", ports[0], self._server_lines(), password=self.password),
            ValkeyNode(
                folder / "replica",
                ports[1],
                [*self._server_lines(), f"replicaof 127.0.0.1 {ports[0]}"],
                password=self.password,
            ),
        ]
        lines = self._sentinel_lines(ports[0], sentinels // 2 + 1)
        self.sentinels = [
            ValkeyNode(
                folder / f"sentinel-{number}",
                port,
                lines,
                password=self.sentinel_password,
                sentinel=True,
            )
            for number, port in enumerate(ports[2:])
        ]

    @property
    def url(self) -> str:
        """The service's address, with all Sentinels."""
        return self.url_by([sentinel.address for sentinel in self.sentinels])

    def url_by(self, addresses: Sequence[str], *, database: int = 0, **options: str) -> str:
        """The service's address by these Sentinels, with further options of the query."""
        if self.sentinel_user:
            options["sentinel_username"] = self.sentinel_user
            options["sentinel_password"] = self.sentinel_password
        query = "&".join(f"{name}={value}" for name, value in options.items())
        path = f"{SERVICE}/{database}?{query}"
        return f"redis+sentinel://:{self.password}@{','.join(addresses)}/{path}"

    def primary(self) -> ValkeyNode:
        """Whom the first Sentinel that answers names as the primary."""
        for sentinel in self.sentinels:
            with contextlib.suppress(redis.RedisError):
                _, port = sentinel.ask("SENTINEL", "GET-PRIMARY-ADDR-BY-NAME", SERVICE)
                return next(node for node in self.servers if node.port == int(port))
        raise AssertionError("no Sentinel answers")

    def wait_for_failover(self, former: ValkeyNode) -> ValkeyNode:
        """Wait until another server is the primary and takes writes."""

        def moved() -> bool:
            now = self.primary()
            return now is not former and now.ask("ROLE")[0] == b"master"

        wait_until(moved)
        return self.primary()

    def _compose(self) -> None:
        """Start the Sentinels, until each knows the others and the replica, as a failover needs.

        They look for replicas when they start, and then not for ten seconds.
        """
        wait_until(partial(_follows, self.servers[1]))
        self._begin(self.sentinels)

        def complete(sentinel: ValkeyNode) -> bool:
            state = sentinel.ask("SENTINEL", "PRIMARY", SERVICE)
            return state[b"num-slaves"] == b"1" and int(state[b"num-other-sentinels"]) == others

        others = len(self.sentinels) - 1
        for sentinel in self.sentinels:
            wait_until(partial(complete, sentinel))

    def _sentinel_lines(self, port: int, quorum: int) -> list[str]:
        lines = [
            f"sentinel monitor {SERVICE} 127.0.0.1 {port} {quorum}",
            f"sentinel auth-pass {SERVICE} {self.password}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER * 1000:.0f}",
            f"sentinel failover-timeout {SERVICE} 1000",
        ]
        if self.sentinel_user:
            lines += [
                f"requirepass {self.sentinel_password}",
                f"user {self.sentinel_user} on >{self.sentinel_password} ~* &* +@all",
                f"sentinel sentinel-user {self.sentinel_user}",
                f"sentinel sentinel-pass {self.sentinel_password}",
            ]
        return lines


class ClusterService(_Topology):
    """Three members that share the keys, each with a replica (or without)."""

    def __init__(self, folder: Path, *, members: int = 3, replicas: bool = True) -> None:
        super().__init__()
        count = members * (2 if replicas else 1)
        ports = free_ports(2 * count)
        self.servers = [
            ValkeyNode(
                folder / f"node-{number}",
                ports[number],
                [
                    *self._server_lines(),
                    "cluster-enabled yes",
                    f"cluster-port {ports[count + number]}",
                    f"cluster-node-timeout {DOWN_AFTER * 1000:.0f}",
                    "databases 1",
                ],
                password=self.password,
            )
            for number in range(count)
        ]
        self.members = self.servers[:members]
        self.replicas = self.servers[members:]
        self._buses = dict(zip(ports[:count], ports[count:], strict=True))

    @property
    def url(self) -> str:
        """Its address, with all nodes as seeds."""
        return self.url_by([node.address for node in self.servers])

    def url_by(self, addresses: Sequence[str]) -> str:
        """Its address by these seeds."""
        return f"redis+cluster://:{self.password}@{','.join(addresses)}"

    def wait_until_covered(self) -> None:
        """Wait until every node that runs knows a member for every slot."""
        for node in self.servers:
            if node.running:
                wait_until(partial(_is_covered, node))

    def _compose(self) -> None:
        first = self.servers[0]
        bounds = [_SLOTS * number // len(self.members) for number in range(len(self.members) + 1)]
        for number, member in enumerate(self.members):
            member.ask("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            member.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.servers[1:]:
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, self._buses[node.port])
        for replica, member in zip(self.replicas, self.members, strict=False):
            name = member.ask("CLUSTER", "MYID").decode()
            wait_until(partial(_knows, replica, name))
            replica.ask("CLUSTER", "REPLICATE", name)
        self.wait_until_covered()
        for replica in self.replicas:
            wait_until(partial(_follows, replica))


def _is_covered(node: ValkeyNode) -> bool:
    return b"cluster_state:ok" in node.ask("CLUSTER", "INFO")


def _knows(node: ValkeyNode, name: str) -> bool:
    return name.encode() in node.ask("CLUSTER", "NODES")


def _follows(replica: ValkeyNode) -> bool:
    return bool(replica.ask("ROLE")[3] == b"connected")
