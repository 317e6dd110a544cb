"""The calls of TokenService and SessionService for programs without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenservice._sessions.client import TokenClient
from tokenservice._sessions.stored_session import StoredSession
from tokenservice._sync.face import SyncFace, waiting
from tokenservice._sync.listing import listing

if TYPE_CHECKING:
    from tokenservice._sessions.exchange_ids import ExchangeIds
    from tokenservice._sessions.token_store import TokenStore
    from tokenservice._sync.connection import SyncConnection


class SyncTokenClient(SyncFace[TokenClient]):
    """The methods of :class:`TokenClient`, each waiting for its result; any thread may call."""

    def __init__(
        self, connection: SyncConnection, *, exchange_ids: ExchangeIds | None = None
    ) -> None:
        client = TokenClient(connection.asynchronous, exchange_ids=exchange_ids)
        super().__init__(client, connection.loop)

    login_with_password = waiting(TokenClient.login_with_password)
    login_as_client = waiting(TokenClient.login_as_client)
    exchange = waiting(TokenClient.exchange)
    reauthenticate = waiting(TokenClient.reauthenticate)
    validate = waiting(TokenClient.validate)
    batch_validate = waiting(TokenClient.batch_validate)
    revoke = waiting(TokenClient.revoke)
    list_sessions = listing(TokenClient.list_sessions)
    get_session = waiting(TokenClient.get_session)
    revoke_session = waiting(TokenClient.revoke_session)
    revoke_other_sessions = waiting(TokenClient.revoke_other_sessions)


class SyncStoredSession(SyncFace[StoredSession]):
    """The methods of :class:`StoredSession`, each waiting for its result; any thread may call."""

    def __init__(
        self,
        client: SyncTokenClient,
        store: TokenStore,
        *,
        exchange_ids: ExchangeIds | None = None,
    ) -> None:
        session = StoredSession(client.asynchronous, store, exchange_ids=exchange_ids)
        super().__init__(session, client.loop)

    start = waiting(StoredSession.start)
    tokens = waiting(StoredSession.tokens)
    exchange = waiting(StoredSession.exchange)
    reauthenticate = waiting(StoredSession.reauthenticate)
    forget = waiting(StoredSession.forget)
