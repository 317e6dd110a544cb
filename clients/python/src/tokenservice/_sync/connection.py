"""A connection for programs without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, Unpack

from tokenservice._sync.background_loop import BackgroundLoop
from tokenservice._transport.connection import CONNECT_WITHIN, Connection
from tokenservice._transport.environment import read as read_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from tokenservice._transport.connection import ConnectionOptions
    from tokenservice._transport.credentials import CallerCredentials


class SyncConnection:
    """A :class:`Connection` on an event loop of its own, on a thread in the background.

    ::

        with SyncConnection("localhost:50051", ClientSecret("demo-web", secret)) as connection:
            client = SyncTokenClient(connection)
            tokens = client.login_with_password("alice", password, platform=Platform.WEB)

    All ``Sync…`` classes take one, and may share it; any thread may call. Takes what
    :class:`Connection` takes. With a ``loop`` of another one (``other.loop``) both run on that
    thread: credentials that are tokens need the loop of their source. Nothing is started or
    opened before the first call, and servers that fork their workers (gunicorn with
    ``preload_app``) make that in the worker: what was started before a fork raises RuntimeError
    after it.
    """

    def __init__(
        self,
        targets: str | Sequence[str],
        credentials: CallerCredentials,
        *,
        loop: BackgroundLoop | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self.asynchronous = Connection(targets, credentials, **options)
        self.loop = loop or BackgroundLoop()
        self._own_loop = loop is None

    def __repr__(self) -> str:
        return f"Sync{self.asynchronous!r}"

    @classmethod
    def connect(
        cls,
        targets: str | Sequence[str],
        credentials: CallerCredentials,
        *,
        loop: BackgroundLoop | None = None,
        within: timedelta = CONNECT_WITHIN,
        **options: Unpack[ConnectionOptions],
    ) -> Self:
        """Make one and wait until a server is connected; see :meth:`Connection.connect`."""
        connection = cls(targets, credentials, loop=loop, **options)
        try:
            connection.loop.run(connection.asynchronous.ready_stubs(within))
        except BaseException:
            connection.close()
            raise
        return connection

    @classmethod
    def from_env(
        cls,
        variables: Mapping[str, str] | None = None,
        *,
        loop: BackgroundLoop | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> Self:
        """Make one as the environment says; see :meth:`Connection.from_env`."""
        targets, credentials, tls = read_environment(variables)
        options.setdefault("tls", tls)
        return cls(targets, credentials, loop=loop, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and the loop unless it was given. May be called again."""
        if self.loop.usable:
            self.loop.run(self.asynchronous.close())
        if self._own_loop:
            self.loop.close()
