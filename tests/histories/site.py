"""The installation under test: stores, two nodes, and what stands between them."""

import asyncio
import json
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from tests.faults.proxy import Proxy
from tests.histories.recorder import Recorder
from tests.support.ports import fixed_port
from tests.support.processes import children_of
from tests.support.servers import ServerProcess
from tests.support.waiting import PATIENCE
from tests.support.world import World
from token_service.adapters.embedded import EmbeddedPostgres, EmbeddedValkey

LIMIT = 5.0
"""The staleness limit of nodes and validators, in seconds: the default."""


@dataclass
class Stores:
    """What the nodes use. `direct` is an address of the database for looking at it and breaking
    it, which is never cut; `postgres` and `valkey` are None where a nemesis brings its own.

    `settings` are for all nodes, `of_node` for each; by setting name in lower case.
    """

    world: World
    direct: str
    postgres: EmbeddedPostgres | None = None
    valkey: EmbeddedValkey | None = None
    settings: dict[str, str] = field(default_factory=dict)
    of_node: list[dict[str, str]] = field(default_factory=list)


class Node:
    """A server process at an address that holds over restarts."""

    def __init__(self, number: int, environment: dict[str, str]) -> None:
        self.number = number
        self.name = f"node-{number}"
        self.environment = environment
        self.own_address = f"127.0.0.1:{fixed_port()}"
        self.address = self.own_address
        """Where clients call: the server, or the proxy before it."""
        self.module = "token_service"
        self.started_at = 0.0
        """Unix time of its last start."""
        self.front: Proxy | None = None
        self.database: Proxy | None = None
        self.redis: Proxy | None = None
        self.ended: list[str] = []
        """What earlier processes printed."""
        self._server: ServerProcess | None = None

    @property
    def server(self) -> ServerProcess:
        """The running process."""
        assert self._server is not None
        return self._server

    @property
    def dsn(self) -> str:
        """Where it looks for its database."""
        return self.environment["TOKEN_SERVICE_POSTGRES_DSN"]

    @property
    def front_proxy(self) -> Proxy:
        """What stands before it."""
        assert self.front is not None
        return self.front

    @property
    def database_proxy(self) -> Proxy:
        """What stands between it and PostgreSQL."""
        assert self.database is not None
        return self.database

    def hang_up(self) -> None:
        """Send SIGHUP."""
        self.server.process.send_signal(signal.SIGHUP)

    def children(self) -> list[int]:
        """Its workers."""
        return children_of(self.server.process.pid)

    @property
    def output(self) -> list[str]:
        """Every line that its processes printed."""
        return [*self.ended, *(tuple(self._server.output) if self._server else ())]

    async def start(self, **changes: str) -> None:
        """Start the process, with other settings from now on."""
        names = {f"TOKEN_SERVICE_{name.upper()}": value for name, value in changes.items()}
        self.environment |= names
        self.started_at = time.time()
        listen = {"TOKEN_SERVICE_GRPC_LISTEN": self.own_address}
        self._server = await asyncio.to_thread(
            ServerProcess, {**self.environment, **listen}, module=self.module
        )

    async def kill(self) -> None:
        """End the process at once."""
        await asyncio.to_thread(self.server.kill)
        self._put_away()

    async def terminate(self) -> int:
        """Ask for a graceful stop; the exit code."""
        code = await asyncio.to_thread(self.server.terminate)
        self._put_away()
        return code

    async def close(self) -> None:
        """End whatever runs."""
        if self._server is not None:
            self.server.resume()
            await self.kill()
        for proxy in (self.front, self.database, self.redis):
            if proxy is not None:
                await proxy.__aexit__(None, None, None)

    def _put_away(self) -> None:
        self.ended += self.server.output
        self._server = None

    def events(self, name: str = "", since: int = 0) -> list[dict[str, Any]]:
        """The log lines of that name (all where it is empty), from line `since` on."""
        lines = (json.loads(line) for line in self.output[since:] if line.startswith("{"))
        return [line for line in lines if not name or line.get("event") == name]


class Site:
    """Two nodes on one pair of stores, with a recorder of what is asked of them."""

    def __init__(self, stores: Stores, recorder: Recorder, folder: Path) -> None:
        self.stores = stores
        self.recorder = recorder
        self.folder = folder
        self.nodes: list[Node] = []

    @property
    def world(self) -> World:
        """The clients and their secrets."""
        return self.stores.world

    async def start(
        self,
        *,
        fronts: bool = False,
        databases: bool = False,
        modules: tuple[str, ...] = (),
        environments: tuple[dict[str, str], ...] = (),
    ) -> None:
        """Start the nodes, with proxies before them, or between them and PostgreSQL."""
        for number in range(2):
            own = self.stores.of_node[number] if self.stores.of_node else {}
            settings = {**_SETTINGS, **self.stores.settings, **own}
            own_environment = environments[number] if environments else {}
            node = Node(number, {**self.world.environment(**settings), **own_environment})
            node.module = modules[number] if modules else node.module
            self.nodes.append(node)
            if databases:
                node.database = await Proxy(_target_of(self.world.dsn)).__aenter__()
                node.environment["TOKEN_SERVICE_POSTGRES_DSN"] = _through(
                    self.world.dsn, node.database.address
                )
            if fronts:
                node.front = await Proxy(node.own_address).__aenter__()
                node.address = node.front.address
        await asyncio.gather(*(node.start() for node in self.nodes))

    async def close(self) -> None:
        """End the nodes."""
        for node in self.nodes:
            await node.close()

    def output(self) -> list[str]:
        """Every line that the nodes printed."""
        return [f"{node.name} {line}" for node in self.nodes for line in node.output]

    async def sql(self, statement: str, *arguments: Any, database: str | None = None) -> Any:
        """The rows of a statement, past all proxies."""
        connection = await asyncpg.connect(self.stores.direct, database=database, timeout=PATIENCE)
        try:
            return await connection.fetch(statement, *arguments, timeout=PATIENCE)
        finally:
            await connection.close(timeout=PATIENCE)


_SETTINGS = {
    "rate_scale": "1000",
    "login_attempts_per_address": "1000000",
    "codes_per_caller": "1000000",
    "codes_per_recipient": "1000000",
    "drain_delay": "100ms",
    "grace_period": "5s",
    "max_connections_per_address": "4000",
}


def _target_of(dsn: str) -> str:
    """Where the database listens: `host:port`, or the path of a socket."""
    parts = urlsplit(dsn)
    host = parse_qs(parts.query).get("host", [""])[0]
    if host:
        port = parse_qs(parts.query).get("port", ["5432"])[0]
        return f"{host}/.s.PGSQL.{port}"
    return f"{parts.hostname}:{parts.port or 5432}"


def _through(dsn: str, address: str) -> str:
    parts = urlsplit(dsn)
    user = parts.netloc.rpartition("@")[0]
    return f"{parts.scheme}://{user}@{address}{parts.path}?sslmode=disable"
