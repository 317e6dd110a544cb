"""The token service for programs without an event loop: threads, scripts, WSGI applications.

::

    with SyncTokenClient.connect(
        "localhost:50051", ClientSecret("demo-web", secret)
    ) as client:
        tokens = client.login_with_password("alice", password, platform=Platform.WEB)
        successor = client.exchange(tokens.session_token)

Servers that fork their workers (gunicorn with ``preload_app``, for instance) make it in the
worker: what was started before a fork raises RuntimeError after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, Unpack

from tokenservice._codes import CodeClient
from tokenservice._pairing.client import POLL_SECONDS, WATCH_PATIENCE, PairingClient
from tokenservice._sessions.client import TokenClient
from tokenservice._sync.background_loop import BackgroundLoop
from tokenservice._sync.face import SyncFace, waiting
from tokenservice._transport.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from tokenservice._pairing.client import PairingKey, PairingStatus
    from tokenservice._sessions.exchange_ids import ExchangeIds
    from tokenservice._transport.connection import ConnectionOptions
    from tokenservice._transport.credentials import CallerCredentials

__all__ = ["BackgroundLoop", "SyncCodeClient", "SyncPairingClient", "SyncTokenClient"]


class SyncTokenClient(SyncFace[TokenClient]):
    """The methods of :class:`TokenClient`, each waiting for its result; any thread may call.

    ``loop`` runs ``asynchronous``, whose connection must not be used elsewhere.
    """

    @classmethod
    def connect(
        cls,
        targets: str | Sequence[str],
        credentials: CallerCredentials,
        *,
        exchange_ids: ExchangeIds | None = None,
        loop: BackgroundLoop | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> Self:
        """Make one with a connection and, unless it shares a ``loop``, a loop of its own, which it
        closes. Takes what :class:`Connection` and :class:`TokenClient` take; nothing is opened
        before the first call.
        """
        connection = Connection(targets, credentials, **options)
        client = TokenClient(connection, exchange_ids=exchange_ids)
        made = cls(client, loop or BackgroundLoop())
        return made.owning(connection, loop_too=loop is None)

    login_with_password = waiting(TokenClient.login_with_password)
    login_as_client = waiting(TokenClient.login_as_client)
    exchange = waiting(TokenClient.exchange)
    reauthenticate = waiting(TokenClient.reauthenticate)
    validate = waiting(TokenClient.validate)
    batch_validate = waiting(TokenClient.batch_validate)
    revoke = waiting(TokenClient.revoke)
    list_sessions = waiting(TokenClient.list_sessions)
    get_session = waiting(TokenClient.get_session)
    revoke_session = waiting(TokenClient.revoke_session)
    revoke_other_sessions = waiting(TokenClient.revoke_other_sessions)


class SyncPairingClient(SyncFace[PairingClient]):
    """The methods of :class:`PairingClient`, as :class:`SyncTokenClient` has those of its own."""

    @classmethod
    def connect(
        cls,
        targets: str | Sequence[str],
        credentials: CallerCredentials,
        *,
        loop: BackgroundLoop | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> Self:
        """Make one with a connection, as :meth:`SyncTokenClient.connect` does."""
        connection = Connection(targets, credentials, **options)
        client = PairingClient(connection)
        made = cls(client, loop or BackgroundLoop())
        return made.owning(connection, loop_too=loop is None)

    def watch(
        self, key: PairingKey, *, patience: float = WATCH_PATIENCE
    ) -> Generator[PairingStatus, None, None]:
        """Follow a pairing, each step waiting for the next change."""
        return self.iterated(self.asynchronous.watch(key, patience=patience))

    def poll(
        self, key: PairingKey, *, interval: float = POLL_SECONDS
    ) -> Generator[PairingStatus, None, None]:
        """Follow a pairing by asking, each step waiting for the next change."""
        return self.iterated(self.asynchronous.poll(key, interval=interval))

    start = waiting(PairingClient.start)
    get = waiting(PairingClient.get)
    scan = waiting(PairingClient.scan)
    approve = waiting(PairingClient.approve)
    deny = waiting(PairingClient.deny)
    cancel = waiting(PairingClient.cancel)
    collect = waiting(PairingClient.collect)


class SyncCodeClient(SyncFace[CodeClient]):
    """The methods of :class:`CodeClient`, as :class:`SyncTokenClient` has those of its own."""

    @classmethod
    def connect(
        cls,
        targets: str | Sequence[str],
        credentials: CallerCredentials,
        *,
        loop: BackgroundLoop | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> Self:
        """Make one with a connection, as :meth:`SyncTokenClient.connect` does."""
        connection = Connection(targets, credentials, **options)
        client = CodeClient(connection)
        made = cls(client, loop or BackgroundLoop())
        return made.owning(connection, loop_too=loop is None)

    issue = waiting(CodeClient.issue)
    redeem = waiting(CodeClient.redeem)
    revoke = waiting(CodeClient.revoke)
    get = waiting(CodeClient.get)
