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

from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from tokenservice.background_loop import BackgroundLoop
from tokenservice.client import TokenClient
from tokenservice.connection import DEFAULT_CHANNELS, Connection
from tokenservice.exchange_ids import ExchangeIds, random_exchange_id

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from tokenservice.connection import Tls
    from tokenservice.credentials import CallerCredentials

__all__ = ["BackgroundLoop", "SyncTokenClient"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _waiting(
    method: Callable[Concatenate[TokenClient, Parameters], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[SyncTokenClient, Parameters], Result]:
    """Give the same method, run on the client's loop and waited for."""

    @wraps(method)
    def call(
        self: SyncTokenClient, /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        return self.loop.run(method(self.asynchronous, *args, **kwargs))

    return call


class SyncTokenClient:
    """The methods of :class:`TokenClient`, each waiting for its result; any thread may call.

    ``loop`` runs ``asynchronous``, whose connection must not be used elsewhere.
    """

    def __init__(self, asynchronous: TokenClient, loop: BackgroundLoop) -> None:
        self.asynchronous = asynchronous
        self.loop = loop
        self._closing: Callable[[], None] = lambda: None

    @classmethod
    def connect(
        cls,
        targets: str | Sequence[str],
        credentials: CallerCredentials,
        *,
        tls: Tls | None = None,
        channels: int = DEFAULT_CHANNELS,
        allow_plaintext: bool = False,
        exchange_ids: ExchangeIds = random_exchange_id,
        loop: BackgroundLoop | None = None,
    ) -> Self:
        """Make one with a connection and, unless it shares a ``loop``, a loop of its own, which it
        closes. Takes what :class:`Connection` and :class:`TokenClient` take; nothing is opened
        before the first call.
        """
        connection = Connection(
            targets, credentials, tls=tls, channels=channels, allow_plaintext=allow_plaintext
        )
        own = loop is None
        loop = loop or BackgroundLoop()
        client = cls(TokenClient(connection, exchange_ids=exchange_ids), loop)

        def close() -> None:
            if loop.usable:
                loop.run(connection.close())
            if own:
                loop.close()

        client._closing = close
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what :meth:`connect` opened. May be called again."""
        self._closing()

    login_with_password = _waiting(TokenClient.login_with_password)
    login_as_client = _waiting(TokenClient.login_as_client)
    exchange = _waiting(TokenClient.exchange)
    reauthenticate = _waiting(TokenClient.reauthenticate)
    validate = _waiting(TokenClient.validate)
    batch_validate = _waiting(TokenClient.batch_validate)
    revoke = _waiting(TokenClient.revoke)
    list_sessions = _waiting(TokenClient.list_sessions)
    get_session = _waiting(TokenClient.get_session)
    revoke_session = _waiting(TokenClient.revoke_session)
    revoke_other_sessions = _waiting(TokenClient.revoke_other_sessions)
