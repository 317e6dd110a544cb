"""Connections that never ask the server to cancel a statement, and notice when others did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from token_service.adapters.postgres.failures import UnconfirmedError

if TYPE_CHECKING:
    import asyncio

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy


class UncancelledConnection(asyncpg.Connection):
    """A statement whose caller went away, or whose time is up, runs to its end.

    A cancel request would end a commit's wait for its standby: the commit is visible then, and lost
    in a failover. The driver sends one whenever a statement times out or its task is cancelled.
    Here it only waits, as after a request that is under way, until the server has answered; who
    cannot wait drops the connection.

    Somebody else may end the wait as well (`pg_cancel_backend`). The server then answers as if all
    were well, after a warning: so `unconfirmed` says that a commit of this connection may be lost.
    """

    unconfirmed = False

    def _process_log_message(self, fields: dict[str, str], last_query: str) -> None:
        """Called by the driver for each warning or notice, before the statement's answer; no
        listener of ours asks for them."""
        del last_query
        if fields.get("R") == "SyncRepWaitForLSN":  # the routine; the text is in any language
            self.unconfirmed = True

    def _cancel_current_command(
        self,
        waiter: asyncio.Future[None],
        cancel_waiter: asyncio.Future[None] | None = None,
    ) -> None:
        """Called by the driver where it would send the request; `waiter` is done once it is sent,
        and `cancel_waiter` by the driver itself once the server has answered."""
        del cancel_waiter
        waiter.set_result(None)

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as it is overridden
        """Close gracefully, or else at once. The driver closes in tasks that nobody awaits: what
        cannot be told to the server any more is no failure."""
        try:
            await super().close(timeout=timeout)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.terminate()


def is_gone(conn: PoolConnectionProxy[Record] | None) -> bool:
    """Whether the connection was made and is lost; its pool may have let go of it already."""
    if conn is None:
        return False
    try:
        return conn.is_closed()
    except asyncpg.InterfaceError:
        return True


def drop(conn: PoolConnectionProxy[Record]) -> None:
    """Close the connection at once; it may be lost already."""
    if not is_gone(conn):
        conn.terminate()


def require_confirmed(conn: PoolConnectionProxy[Record]) -> None:
    """Raise UnconfirmedError where the last commit may be lost. A connection that was lost with its
    answer, as when the primary dies, does not tell any more."""
    if is_gone(conn):
        raise UnconfirmedError
    if getattr(conn, "unconfirmed", False):  # of UncancelledConnection
        conn.terminate()  # another one begins anew
        raise UnconfirmedError
