"""How connections to PostgreSQL are made: where to, with what limits and what set-up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.connect_utils import SessionAttribute

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.pool import Pool


class Connector:
    """Makes the connections of one process to the primary.

    `timeout` (seconds) bounds each attempt to connect and each command.
    """

    def __init__(self, dsn: str, *, timeout: float, name: str) -> None:
        self._dsn = dsn
        self._timeout = timeout
        self._name = name

    def pool(self, size: int) -> Pool[Record]:
        """A pool of at most `size` connections, to be awaited before use."""
        return asyncpg.create_pool(
            self._dsn,
            min_size=min(2, size),
            max_size=size,
            max_queries=1_000_000_000,
            max_inactive_connection_lifetime=0,
            init=_prepare_connection,
            reset=_keep_session,
            **_connect_options(self._timeout, self._name),
        )

    async def connect(self, purpose: str) -> asyncpg.Connection[Record]:
        """A connection of one's own, outside the pool. Raises what asyncpg raises."""
        options = _connect_options(self._timeout, f"{self._name} {purpose}")
        return await asyncpg.connect(self._dsn, **options)


def _connect_options(timeout: float, application_name: str) -> dict[str, Any]:
    # The server's own limits let go of locks when this process is stopped or cut off.
    limit = str(int(timeout * 1000) + 1000)
    return {
        "timeout": timeout,
        "command_timeout": timeout,
        "max_cached_statement_lifetime": 0,
        "target_session_attrs": SessionAttribute.primary,
        "server_settings": {
            "application_name": application_name,
            "statement_timeout": limit,
            "idle_in_transaction_session_timeout": limit,
            "jit": "off",
        },
    }


async def _prepare_connection(conn: asyncpg.Connection[Record]) -> None:
    await conn.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads, format="text"
    )


async def _keep_session(_: asyncpg.Connection[Record]) -> None:
    """Nothing here changes session state, so a release need not cost a round trip."""
