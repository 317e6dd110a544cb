"""The calls of KeyService, with plain values.

::

    keys = KeyAdmin(connection)
    async for key in keys.list_keys(purpose=KeyPurpose.SIGNING):
        ...
    successor = await keys.rotate_key(KeyPurpose.SIGNING)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenservice import _messages as messages
from tokenservice._admin.key_values import ChangedKey, Key, KeyPurpose
from tokenservice._admin.messages import value
from tokenservice._transport import calls
from tokenservice._transport.service_client import ServiceClient
from tokenservice.v1 import key_service_pb2 as pb

if TYPE_CHECKING:
    from datetime import timedelta

    from tokenservice._listing import Listing


class KeyAdmin(ServiceClient):
    """Administers the service's keys; needs the permission admin.keys."""

    def list_keys(
        self,
        *,
        purpose: KeyPurpose = KeyPurpose.UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: timedelta | None = None,
    ) -> Listing[Key]:
        """List keys, the newest first, those for one ``purpose`` where one is given.

        ``page_size`` is at most 500; 0 means 50. ``timeout`` is for each page.
        """
        return self._calls.listing(
            lambda stubs: stubs.keys.ListKeys,
            lambda token: pb.ListKeysRequest(
                purpose=messages.number(purpose), page_size=page_size, page_token=token
            ),
            lambda reply: (value(Key, one) for one in reply.keys),
            page_token,
            timeout,
        )

    async def rotate_key(
        self,
        purpose: KeyPurpose,
        *,
        algorithm: str = "",
        note: str = "",
        timeout: timedelta | None = None,
    ) -> Key:
        """Replace the active key of a purpose before its time; gives the new one.

        ``algorithm`` is for signing keys, "" for the service's default. Sent once: done twice, it
        makes two, or finds the first one PENDING (KEY_STATE).
        """
        with messages.sendable():
            request = pb.RotateKeyRequest(
                purpose=messages.number(purpose), algorithm=algorithm, note=note
            )
        reply = await self._calls.call(
            lambda stubs: stubs.keys.RotateKey, request, calls.ONCE, timeout
        )
        return value(Key, reply.key)

    async def compromise_key(
        self, kid: str, *, note: str = "", timeout: timedelta | None = None
    ) -> ChangedKey:
        """Declare a key compromised, for good: no token of it is accepted any more."""
        with messages.sendable():
            request = pb.CompromiseKeyRequest(kid=kid, note=note)
        reply = await self._calls.call(
            lambda stubs: stubs.keys.CompromiseKey, request, calls.END_MANY, timeout
        )
        return value(ChangedKey, reply)
