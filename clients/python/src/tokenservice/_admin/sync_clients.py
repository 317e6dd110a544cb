"""Administration for programs without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenservice._admin.clients import ClientAdmin
from tokenservice._admin.keys import KeyAdmin
from tokenservice._admin.trust import TrustClient
from tokenservice._admin.users import UserAdmin
from tokenservice._sync.face import SyncFace, waiting
from tokenservice._sync.listing import listing

if TYPE_CHECKING:
    from collections.abc import Generator

    from tokenservice._admin.trust_values import FeedMessage
    from tokenservice._sync.connection import SyncConnection


class SyncClientAdmin(SyncFace[ClientAdmin]):
    """The methods of :class:`ClientAdmin`, each waiting for its result; any thread may call."""

    def __init__(self, connection: SyncConnection) -> None:
        super().__init__(ClientAdmin(connection.asynchronous), connection.loop)

    register_client = waiting(ClientAdmin.register_client)
    review_client = waiting(ClientAdmin.review_client)
    collect_client_credentials = waiting(ClientAdmin.collect_client_credentials)
    rotate_client_secret = waiting(ClientAdmin.rotate_client_secret)
    disable_client = waiting(ClientAdmin.disable_client)
    enable_client = waiting(ClientAdmin.enable_client)
    get_client = waiting(ClientAdmin.get_client)
    list_clients = listing(ClientAdmin.list_clients)
    update_client_policy = waiting(ClientAdmin.update_client_policy)


class SyncUserAdmin(SyncFace[UserAdmin]):
    """The methods of :class:`UserAdmin`, each waiting for its result; any thread may call."""

    def __init__(self, connection: SyncConnection) -> None:
        super().__init__(UserAdmin(connection.asynchronous), connection.loop)

    create_user = waiting(UserAdmin.create_user)
    set_password = waiting(UserAdmin.set_password)
    disable_user = waiting(UserAdmin.disable_user)
    enable_user = waiting(UserAdmin.enable_user)
    delete_user = waiting(UserAdmin.delete_user)
    get_user = waiting(UserAdmin.get_user)
    list_users = listing(UserAdmin.list_users)
    unlock_user = waiting(UserAdmin.unlock_user)
    set_roles = waiting(UserAdmin.set_roles)
    define_role = waiting(UserAdmin.define_role)
    list_roles = listing(UserAdmin.list_roles)


class SyncKeyAdmin(SyncFace[KeyAdmin]):
    """The methods of :class:`KeyAdmin`, each waiting for its result; any thread may call."""

    def __init__(self, connection: SyncConnection) -> None:
        super().__init__(KeyAdmin(connection.asynchronous), connection.loop)

    list_keys = listing(KeyAdmin.list_keys)
    rotate_key = waiting(KeyAdmin.rotate_key)
    compromise_key = waiting(KeyAdmin.compromise_key)


class SyncTrustClient(SyncFace[TrustClient]):
    """The methods of :class:`TrustClient`, each waiting for its result; any thread may call."""

    def __init__(self, connection: SyncConnection) -> None:
        super().__init__(TrustClient(connection.asynchronous), connection.loop)

    get_trust = waiting(TrustClient.get_trust)

    def watch_trust(
        self, *, epoch: str = "", from_revision: int = 0
    ) -> Generator[FeedMessage, None, None]:
        """Follow the feed on one server, each step waiting for the next message."""
        watched = self.asynchronous.watch_trust(epoch=epoch, from_revision=from_revision)
        return self.iterated(watched)
