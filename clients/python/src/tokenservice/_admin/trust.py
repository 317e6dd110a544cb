"""The feed of TrustService, for people and tools that look at it.

::

    trust = TrustClient(connection)
    view = await trust.get_trust()
    async for message in trust.watch_trust(epoch=view.epoch, from_revision=view.revision):
        ...

To decide about tokens take a :class:`tokenservice.Validator`, which follows the feed, keeps up when
a server is lost, and knows when its view is too old.
"""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import grpc

from tokenservice import _messages as messages
from tokenservice._admin.messages import value
from tokenservice._admin.trust_values import FeedEntry, FeedKey, FeedMessage, TrustView
from tokenservice._times import moment_of
from tokenservice._transport.service_client import ServiceClient
from tokenservice._validator.server_calls import CONNECT_WITHIN, FeedStream
from tokenservice.v1 import trust_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from tokenservice._transport.connection import Metadata, Stubs

    Open = Callable[[Stubs, Metadata], "grpc.aio.UnaryStreamCall[Any, Any]"]

_GET_WITHIN: Final = timedelta(seconds=30)


class TrustClient(ServiceClient):
    """Reads the trust log; needs the permission trust.watch. Nothing is retried."""

    async def watch_trust(
        self, *, epoch: str = "", from_revision: int = 0
    ) -> AsyncGenerator[FeedMessage, None]:
        """Follow the feed on one server, without a time limit: a snapshot in parts first, or a
        delta where it can go on after ``from_revision`` of the log ``epoch``.

        Raises Unreachable when that server stops, and RateLimited (OVERLOADED) for one who does not
        keep up.
        """
        with messages.sendable():
            request = pb.WatchTrustRequest(epoch=epoch, from_revision=from_revision)
        stream = self._messages(
            lambda stubs, metadata: stubs.trust.WatchTrust(request, metadata=metadata)
        )
        async with aclosing(stream):
            async for message in stream:
                yield value(FeedMessage, message)

    async def get_trust(self, *, timeout: timedelta = _GET_WITHIN) -> TrustView:
        """Fetch the log and the keys as they are now."""
        parts = self._messages(
            lambda stubs, metadata: stubs.trust.GetTrust(
                pb.GetTrustRequest(), metadata=metadata, timeout=timeout.total_seconds()
            )
        )
        async with aclosing(parts):
            chunks = [chunk async for chunk in parts]
        last = chunks[-1]
        return TrustView(
            epoch=last.epoch,
            revision=last.revision,
            read_time=moment_of(last.read_time),
            issuer=last.issuer,
            keys=tuple(value(FeedKey, key) for chunk in chunks for key in chunk.snapshot.keys),
            entries=tuple(
                value(FeedEntry, one) for chunk in chunks for one in chunk.snapshot.entries
            ),
        )

    async def _messages(self, begin: Open) -> AsyncGenerator[Any, None]:
        stubs = await self._connection.ready_stubs(CONNECT_WITHIN)
        metadata = await self._connection.metadata()
        stream = FeedStream(self._connection, stubs, metadata, begin(stubs, metadata))
        try:
            while (message := await stream.read()) is not grpc.aio.EOF:
                yield message
        finally:
            stream.cancel()
