"""The calls of ClientService, with plain values.

::

    admin = ClientAdmin(connection)
    asked = await admin.register_client("shop", "shop@example.com", policy)
    ...                                         # somebody else:
    await admin.review_client(asked.client_id, approve=True)
    ...                                         # the one who registered it:
    credentials = await admin.collect_client_credentials(
        asked.client_id, asked.registration_secret
    )
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenservice import _messages as messages
from tokenservice._admin.client_values import (
    ChangedClient,
    Client,
    ClientCredentials,
    ClientState,
    RegisteredClient,
    RotatedSecret,
)
from tokenservice._admin.messages import message_of, value
from tokenservice._transport import calls
from tokenservice._transport.service_client import ServiceClient, random_request_id
from tokenservice.v1 import client_service_pb2 as pb
from tokenservice.v1.client_policy_pb2 import ClientPolicy as PolicyMessage

if TYPE_CHECKING:
    from datetime import timedelta

    from tokenservice._admin.client_values import ClientPolicy
    from tokenservice._listing import Listing


class ClientAdmin(ServiceClient):
    """Registers clients and administers them; most calls need the permission admin.clients.

    A ``client_id`` of "" is the calling client's own where it may be left out.
    """

    async def register_client(
        self,
        name: str,
        contact: str,
        policy: ClientPolicy | None = None,
        *,
        client_id: str = "",
        timeout: timedelta | None = None,
    ) -> RegisteredClient:
        """Ask for a new client; it can do nothing until somebody else reviewed it.

        With a ``client_id`` it gets just that id, which needs the permission admin.clients too and
        is refused when it is taken (CLIENT_EXISTS); without one the service makes an id.
        Needs the permission clients.register, or none where registration is open (then
        :class:`tokenservice.Anonymous` will do). Sent once: done twice, it asks for two.
        """
        with messages.sendable():
            request = pb.RegisterClientRequest(
                name=name, contact=contact, policy=_policy(policy), client_id=client_id
            )
        reply = await self._calls.call(
            lambda stubs: stubs.clients.RegisterClient, request, calls.ONCE, timeout
        )
        return value(RegisteredClient, reply)

    async def review_client(
        self,
        client_id: str,
        *,
        approve: bool,
        note: str = "",
        policy: ClientPolicy | None = None,
        timeout: timedelta | None = None,
    ) -> ChangedClient:
        """Approve a registration, with the ``policy`` given instead of the one asked for, or reject
        it. Reasons include CLIENT_STATE and SELF_REVIEW. Sent once: it can be decided once."""
        with messages.sendable():
            request = pb.ReviewClientRequest(client_id=client_id, note=note, policy=_policy(policy))
            if approve:
                request.approve.SetInParent()
            else:
                request.reject.SetInParent()
        reply = await self._calls.call(
            lambda stubs: stubs.clients.ReviewClient, request, calls.ONCE, timeout
        )
        return value(ChangedClient, reply)

    async def collect_client_credentials(
        self,
        client_id: str,
        registration_secret: str,
        *,
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> ClientCredentials:
        """Collect the credentials of an approved client, until its secret has been used.

        Retried with one ``request_id``, the one given or a random one, which gets one secret;
        another id replaces it. Where registration is open no permission is needed. Reasons include
        CREDENTIALS_INVALID, CLIENT_NOT_APPROVED and CREDENTIALS_COLLECTED.
        """
        with messages.sendable():
            request = pb.CollectClientCredentialsRequest(
                client_id=client_id,
                registration_secret=registration_secret,
                request_id=random_request_id() if request_id is None else request_id,
            )
        reply = await self._calls.call(
            lambda stubs: stubs.clients.CollectClientCredentials, request, calls.CHANGE, timeout
        )
        return value(ClientCredentials, reply)

    async def rotate_client_secret(
        self,
        client_id: str = "",
        *,
        overlap: timedelta | None = None,
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> RotatedSecret:
        """Make a new secret; the one before works for ``overlap`` (seconds; None: 24 hours) more.

        Retried with one ``request_id``, the one given or a random one, which gets one secret. To
        try again after Unreachable give the same id.
        """
        with messages.sendable():
            request = pb.RotateClientSecretRequest(
                client_id=client_id,
                overlap=messages.duration(overlap, "overlap"),
                request_id=random_request_id() if request_id is None else request_id,
            )
        reply = await self._calls.call(
            lambda stubs: stubs.clients.RotateClientSecret, request, calls.CHANGE, timeout
        )
        return value(RotatedSecret, reply)

    async def disable_client(
        self, client_id: str, *, note: str = "", timeout: timedelta | None = None
    ) -> ChangedClient:
        """Disable a client, which revokes its sessions and tokens; one that is disabled is none."""
        with messages.sendable():
            request = pb.DisableClientRequest(client_id=client_id, note=note)
        reply = await self._calls.call(
            lambda stubs: stubs.clients.DisableClient, request, calls.END_MANY, timeout
        )
        return value(ChangedClient, reply)

    async def enable_client(
        self, client_id: str, *, note: str = "", timeout: timedelta | None = None
    ) -> Client:
        """Let a disabled client work again, with the secrets it had. Sent once: a retry could undo
        what somebody else disabled in between."""
        with messages.sendable():
            request = pb.EnableClientRequest(client_id=client_id, note=note)
        reply = await self._calls.call(
            lambda stubs: stubs.clients.EnableClient, request, calls.ONCE, timeout
        )
        return value(Client, reply.client)

    async def get_client(self, client_id: str = "", *, timeout: timedelta | None = None) -> Client:
        """Fetch a client."""
        with messages.sendable():
            request = pb.GetClientRequest(client_id=client_id)
        reply = await self._calls.call(
            lambda stubs: stubs.clients.GetClient, request, calls.READ, timeout
        )
        return value(Client, reply.client)

    def list_clients(
        self,
        *,
        state: ClientState = ClientState.UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: timedelta | None = None,
    ) -> Listing[Client]:
        """List clients in the order of their ids, those in one ``state`` where one is given.

        ``page_size`` is at most 500; 0 means 50. ``timeout`` is for each page.
        """
        return self._calls.listing(
            lambda stubs: stubs.clients.ListClients,
            lambda token: pb.ListClientsRequest(
                state=messages.number(state), page_size=page_size, page_token=token
            ),
            lambda reply: (value(Client, one) for one in reply.clients),
            page_token,
            timeout,
        )

    async def update_client_policy(
        self,
        client_id: str,
        policy: ClientPolicy,
        *,
        note: str = "",
        timeout: timedelta | None = None,
    ) -> ChangedClient:
        """Replace a client's policy as a whole; what is left out is no longer allowed.

        Sent once: a retry could undo what somebody else allowed or took away in between.
        """
        with messages.sendable():
            request = pb.UpdateClientPolicyRequest(
                client_id=client_id, policy=_policy(policy), note=note
            )
        reply = await self._calls.call(
            lambda stubs: stubs.clients.UpdateClientPolicy, request, calls.ONCE, timeout
        )
        return value(ChangedClient, reply)


def _policy(policy: ClientPolicy | None) -> PolicyMessage | None:
    return None if policy is None else message_of(PolicyMessage, policy)
