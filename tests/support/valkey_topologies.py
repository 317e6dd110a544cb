"""Valkey as companies run it: a primary with a replica under Sentinels, and a Cluster.

All are processes on 127.0.0.1 that a test may freeze, kill and start again, with their keys in
memory alone. The wheel's program knows no TLS: a test puts a proxy with a certificate before it.
"""

import contextlib
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import redis

from tests.support.waiting import PATIENCE, wait_until
from token_service.adapters.embedded.binaries import valkey_server

SERVICE = "tokens"
"""The name under which the Sentinels know the primary."""

DOWN_AFTER = 0.5
"""Seconds of silence after which Sentinels and members of a Cluster give a server up."""

_SLOTS = 16_384
_ANSWER_TIMEOUT = 2.0


class ValkeyNode:
    """One valkey-server process, reachable on `port` of 127.0.0.1."""

    def __init__(
        self,
        folder: Path,
        port: int,
        lines: Sequence[str],
        *,
        password: str,
        sentinel: bool = False,
    ) -> None:
        self.port = port
        self.password = password
        self._folder = folder
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        config = [f"port {port}", "bind 127.0.0.1", f"dir {folder}", f"logfile {self.log}", *lines]
        self._config.write_text("".join(f"{line}\n" for line in config))

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._folder / "server.log"

    @property
    def running(self) -> bool:
        """Whether it was started, and not killed since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def address(self) -> str:
        """As host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def _config(self) -> Path:
        return self._folder / "valkey.conf"

    def start(self) -> None:
        """Start, with what the configuration file says by now. `wait` says when it answers."""
        flags = ["--sentinel"] if self._sentinel else []
        self._process = subprocess.Popen(
            [str(valkey_server()), str(self._config), *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        """Wait for the first answer."""

        def answers() -> bool:
            with contextlib.suppress(redis.RedisError), self.connected() as server:
                return bool(server.ping())
            return False

        wait_until(answers, lambda: f"no answer: {self.log.read_text()[-600:]}")

    def kill(self) -> None:
        """End it as a power cut does; nothing happens to one that does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """Let it stand still with its connections open."""
        self._process_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def connected(self) -> Iterator["redis.Redis"]:
        """A client with all rights."""
        with redis.Redis(
            "127.0.0.1", self.port, password=self.password, socket_timeout=_ANSWER_TIMEOUT
        ) as client:
            yield client

    def ask(self, *command: str | int) -> Any:
        """The answer to one command."""
        with self.connected() as client:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def _process_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class _Topology:
    """Nodes that are started together, and killed together at the end."""

    def __init__(self) -> None:
        self.password = secrets.token_urlsafe(12)
        self.nodes: list[ValkeyNode] = []

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.start()
            for node in self.nodes:
                node.wait()
            self._compose()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()

    def _compose(self) -> None:
        """Make one service of the nodes that run."""

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
        self.nodes = [*self.servers, *self.sentinels]

    @property
    def url(self) -> str:
        """The service's address, with all Sentinels."""
        return self.url_by([sentinel.address for sentinel in self.sentinels])

    def url_by(self, addresses: Sequence[str], **options: str) -> str:
        """The service's address by these Sentinels, with further options of the query."""
        if self.sentinel_user:
            options["sentinel_username"] = self.sentinel_user
            options["sentinel_password"] = self.sentinel_password
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"redis+sentinel://:{self.password}@{','.join(addresses)}/{SERVICE}?{query}"

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
        """Wait until every Sentinel knows the others and the replica, as a failover needs."""

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
            f"sentinel failover-timeout {SERVICE} 3000",
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
        self.nodes = [
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
        self.members = self.nodes[:members]
        self.replicas = self.nodes[members:]
        self._buses = dict(zip(ports[:count], ports[count:], strict=True))

    @property
    def url(self) -> str:
        """Its address, with all nodes as seeds."""
        return self.url_by([node.address for node in self.nodes])

    def url_by(self, addresses: Sequence[str]) -> str:
        """Its address by these seeds."""
        return f"redis+cluster://:{self.password}@{','.join(addresses)}"

    def wait_until_covered(self) -> None:
        """Wait until every node that runs knows a member for every slot."""
        for node in self.nodes:
            if node.running:
                wait_until(partial(_is_covered, node))

    def _compose(self) -> None:
        first = self.nodes[0]
        bounds = [_SLOTS * number // len(self.members) for number in range(len(self.members) + 1)]
        for number, member in enumerate(self.members):
            member.ask("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            member.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, self._buses[node.port])
        for replica, member in zip(self.replicas, self.members, strict=False):
            name = member.ask("CLUSTER", "MYID").decode()
            wait_until(partial(_knows, replica, name))
            replica.ask("CLUSTER", "REPLICATE", name)
        self.wait_until_covered()
        for replica in self.replicas:
            wait_until(partial(_follows, replica))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, all different."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _is_covered(node: ValkeyNode) -> bool:
    return b"cluster_state:ok" in node.ask("CLUSTER", "INFO")


def _knows(node: ValkeyNode, name: str) -> bool:
    return name.encode() in node.ask("CLUSTER", "NODES")


def _follows(replica: ValkeyNode) -> bool:
    return bool(replica.ask("ROLE")[3] == b"connected")
