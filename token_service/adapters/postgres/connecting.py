"""How connections to PostgreSQL are made: where to, with what limits and what set-up.

The address may name several servers, and may be in a file that is read again when no connection
can be made: passwords change and databases move while this process runs.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import structlog
from asyncpg.connect_utils import SessionAttribute

from token_service.adapters.postgres.driver_connection import UncancelledConnection
from token_service.adapters.postgres.dsn import Dsn, DsnError, Server, parse_dsn
from token_service.adapters.postgres.failures import PoolerError, cause_of
from token_service.adapters.postgres.primary import Connection, find_primary, require_primary
from token_service.adapters.postgres.underway import Underway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from asyncpg import Record
    from asyncpg.pool import Pool

    from token_service.adapters.postgres.connect_gate import ConnectGate
    from token_service.adapters.postgres.dsn_parameters import KeepAlive

Acceptance: TypeAlias = "Callable[[Connection], Awaitable[None]] | None"

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"

CONNECT_SECONDS = 5.0
"""A connection may take as long, and longer where a call may: some eight round trips, and more with
TLS, on whatever network."""

CALLS_PART = 2 / 3
"""How much of its time a call may spend on a connection: a statement then takes two round trips,
and a connection took four at least. It would be broken off, and its connection with it."""

_log = structlog.get_logger(__name__)


class Pooler(StrEnum):
    """What stands between this process and PostgreSQL."""

    NONE = "none"
    SESSION = "session"
    """A connection of ours has one of the server's, as long as it lives."""
    TRANSACTION = "transaction"
    """Each transaction may have another connection of the server's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an address comes from: the `setting`, its `text`, and the `file` it was read from, if
    it was."""

    text: str = field(repr=False)
    setting: str = "TOKEN_SERVICE_POSTGRES_DSN"
    file: Path | None = None
    pooler: Pooler = Pooler.NONE

    def again(self) -> str:
        """The text as it is now. Raises OSError, UnicodeDecodeError."""
        return self.text if self.file is None else self.file.read_text("utf-8").strip()


class Connector:
    """Makes the connections of one process to the primary.

    `timeout` (seconds) bounds each command. Raises DsnError.
    """

    def __init__(self, source: Source | str, *, timeout: float, name: str) -> None:
        self._source = Source(text=source) if isinstance(source, str) else source
        self._dsn = parse_dsn(self._source.text)
        self._timeout = timeout
        self._patience = max(timeout, CONNECT_SECONDS)
        self._name = name
        self._underway = Underway(self._prepared)
        self._last_good: Server | None = None
        self._doubted: Server | None = None
        self._is_direct = False
        self._is_readable = True
        self.accept: Acceptance = None
        """Looks at each connection for a pool, and raises where another server is to be found."""

    @property
    def source(self) -> Source:
        """Where the address comes from."""
        return self._source

    @property
    def begin(self) -> str:
        """The statement that begins a transaction, within its limits."""
        if self._source.pooler is not Pooler.TRANSACTION:
            return BEGIN
        limits = _limits(self._timeout).items()
        return "; ".join((BEGIN, *(f"SET LOCAL {name} = {value}" for name, value in limits)))

    @property
    def address(self) -> Dsn:
        """The address of the server alone that was the primary when last connected to."""
        return self._dsn.alone(self._last_good or self._dsn.servers[0])

    async def open_pool(self, size: int, gate: ConnectGate) -> Pool[Record]:
        """A pool of at most `size` connections, which are made through `gate`; some are made now.

        Raises what `connect` raises.
        """
        pool = self._pool(size, gate)
        try:
            async with asyncio.timeout(2 * self._patience):
                _ = await pool
        except BaseException:
            pool.terminate()
            self.close()
            raise
        # From now on it is calls that wait.
        self._underway.within = self._timeout * CALLS_PART
        return pool

    def _pool(self, size: int, gate: ConnectGate) -> Pool[Record]:

        async def connect(*_: object, **__: object) -> Connection:
            return await gate.through(self._underway.connection)

        return asyncpg.create_pool(
            connect=connect,
            # No floor is kept: a connection is made when there is a call for it.
            min_size=0,
            init_size=min(2, size),
            max_size=size,
            max_queries=1_000_000_000,
            max_inactive_connection_lifetime=0,
            reset=_keep_session,
        )

    def close(self) -> None:
        """Close what nobody took of the connections for pools."""
        self._underway.close()

    async def _prepared(self) -> Connection:
        conn = await self.connect(accept=self.accept)
        await conn.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads, format="text"
        )
        return conn

    async def connect(self, purpose: str = "", accept: Acceptance = None) -> Connection:
        """A connection to the primary, whose application name says its `purpose`; `accept` may
        refuse it as that of another server.

        It has CONNECT_SECONDS, with all servers together, or `timeout` where that is more. Raises
        what asyncpg raises, PoolerError, TimeoutError.
        """
        name = f"{self._name} {purpose}".rstrip()
        ends_at = time.monotonic() + self._patience
        dsn = self._dsn
        try:
            return await self._connect(dsn, name, ends_at, accept)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._read_again()
            if self._dsn == dsn:
                raise
        return await self._connect(self._dsn, name, ends_at, accept)

    async def _connect(self, dsn: Dsn, name: str, ends_at: float, accept: Acceptance) -> Connection:
        server, conn = await find_primary(
            sorted(dsn.servers, key=self._rank),
            lambda server: self._attempt(dsn, server, name, accept),
            within=max(0.0, ends_at - time.monotonic()),
        )
        self._last_good = server
        return conn

    def forget_made(self) -> None:
        """See `Underway.forget_made`."""
        self._underway.forget_made()

    def doubt_primary(self) -> None:
        """Ask the server that was the primary last after all others from now on: it cannot commit,
        and may have been succeeded without knowing it."""
        if self._last_good is not None:
            self._doubted, self._last_good = self._last_good, None

    def _rank(self, server: Server) -> int:
        return 1 if server == self._doubted else -1 if server == self._last_good else 0

    async def _attempt(self, dsn: Dsn, server: Server, name: str, accept: Acceptance) -> Connection:
        """A connection to this server, if it is a primary."""
        async with asyncio.timeout(dsn.connect_timeout):
            try:
                conn: Connection = await asyncpg.connect(
                    **dsn.arguments(server), **self._options(dsn, name), timeout=self._patience
                )
            except asyncpg.ProtocolViolationError as error:
                if "startup parameter" in str(error):
                    raise PoolerError("a pooler refuses the connection's parameters") from error
                raise
            try:
                await self._set_up(conn, dsn)
                if accept is not None:
                    await accept(conn)
            except BaseException:
                conn.terminate()
                raise
            return conn

    def _options(self, dsn: Dsn, name: str) -> dict[str, Any]:
        pooler = self._source.pooler
        settings = {"application_name": name}
        if pooler is Pooler.NONE:
            settings |= _limits(self._timeout)
            if dsn.options:
                settings["options"] = dsn.options
        return {
            "connection_class": UncancelledConnection,
            "command_timeout": self._timeout,
            "max_cached_statement_lifetime": 0,
            "statement_cache_size": 0 if pooler is Pooler.TRANSACTION else 100,
            "target_session_attrs": SessionAttribute.any,  # `require_primary` finds it
            "server_settings": settings,
        }

    async def _set_up(self, conn: Connection, dsn: Dsn) -> None:
        _keep_alive(conn, dsn.keep_alive)
        if self._source.pooler is Pooler.NONE:
            await self._require_direct(conn)
        await require_primary(conn)
        if self._source.pooler is Pooler.SESSION:
            limits = _limits(self._timeout).items()
            await conn.execute("; ".join(f"SET {name} = {value}" for name, value in limits))

    async def _require_direct(self, conn: Connection) -> None:
        """Once: a pooler gives its clients process numbers of its own."""
        if self._is_direct:
            return
        try:
            number = await conn.fetchval("SELECT pg_backend_pid()")
        except (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError):
            number = None
        if number != conn.get_server_pid():
            raise PoolerError("the connection is a pooler's")
        self._is_direct = True

    def _read_again(self) -> None:
        """Have the address as its file says it now."""
        try:
            dsn = parse_dsn(self._source.again())
        except (OSError, UnicodeDecodeError, DsnError) as error:
            if self._is_readable:
                _log.warning(
                    "postgres_dsn_unreadable",
                    setting=self._source.setting,
                    error=type(error).__name__,
                )
            self._is_readable = False
            return
        self._is_readable = True
        if dsn != self._dsn:
            self._dsn, self._is_direct = dsn, False
            _log.info("postgres_dsn_read_again", setting=self._source.setting)


def _limits(timeout: float) -> dict[str, str]:
    """The server's own limits let go of locks when this process is stopped or cut off."""
    limit = str(int(timeout * 1000) + 1000)
    return {
        "statement_timeout": limit,
        "idle_in_transaction_session_timeout": limit,
        # A statement that nobody waits for any more is never cancelled: the server ends it when it
        # finds the connection dropped. A commit that waits for its standby goes on.
        "client_connection_check_interval": "500",
        "client_min_messages": "warning",  # else the end of such a wait by others is not told
        "jit": "off",
    }


def _keep_alive(conn: Connection, kept: KeepAlive) -> None:
    # asyncpg offers the socket to nobody.
    transport = conn._transport  # type: ignore[attr-defined]  # noqa: SLF001
    sock = transport.get_extra_info("socket")
    if sock is not None:
        kept.apply_to(sock)


def cause(error: BaseException | None) -> str:
    """What people should know of an error that `Connector.connect` raised."""
    if isinstance(error, PoolerError):
        text = (
            "a pooler is in between: set TOKEN_SERVICE_POSTGRES_POOLER to session or transaction, "
            "and TOKEN_SERVICE_POSTGRES_DIRECT_DSN to an address without one"
        )
    elif isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        text = "it leads to a standby, the primary is needed"
    elif isinstance(error, ssl.SSLCertVerificationError):
        text = f"the server's certificate is not accepted: {error.verify_message}"
    elif isinstance(error, asyncpg.PostgresError):
        text = f"PostgreSQL refuses the connection: {cause_of(error)}"
    elif isinstance(error, OSError):
        text = f"PostgreSQL does not answer: {cause_of(error)}"
    else:
        text = "PostgreSQL does not answer"
    servers = getattr(error, "__notes__", [])
    return f"{text} ({'; '.join(servers)})" if len(servers) > 1 else text


async def _keep_session(_: Connection) -> None:
    """Nothing here changes session state, so a release need not cost a round trip."""
