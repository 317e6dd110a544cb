"""The calls that a validator makes, over a connection."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from tokenservice._errors import Unreachable, error_of
from tokenservice._messages import duration
from tokenservice._reason import Reason
from tokenservice._times import span_of
from tokenservice._transport.calls import Calls, Effort
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import trust_service_pb2 as trust_pb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenservice._transport.connection import Connection, Metadata
    from tokenservice._transport.lanes import Stubs
    from tokenservice._validator.follower import Stream

CONNECT_WITHIN: Final = timedelta(seconds=2)
"""How long the feed waits for any server to be connected."""


class ServerCalls:
    """Makes them; ``timeout`` is in seconds, for each call with its repetitions."""

    def __init__(self, connection: Connection, timeout: float) -> None:
        self._connection = connection
        self._calls = Calls(connection)
        # A server that went silent leaves time for another.
        self._effort = Effort(timeout, repeatable=True, attempt_timeout=timeout / 2)

    async def validate(
        self, requests: Sequence[pb.ValidateRequest]
    ) -> Sequence[pb.ValidateResponse]:
        """Validate one token or several, in order. Raises TokenServiceError."""
        call, effort = self._calls.call, self._effort
        if len(requests) == 1:
            return [await call(lambda stubs: stubs.tokens.Validate, requests[0], effort)]
        batch = pb.BatchValidateRequest(requests=requests)
        return (await call(lambda stubs: stubs.tokens.BatchValidate, batch, effort)).responses

    async def report(self, activity: dict[str, float], interval: float) -> dict[str, float]:
        """Report when sessions were last active (Unix seconds), each once in ``interval`` seconds;
        give the shorter intervals that are asked for. Raises TokenServiceError."""
        request = trust_pb.ReportActivityRequest(
            interval=duration(timedelta(seconds=interval), "interval"),
            activities=[
                trust_pb.SessionActivity(session_id=session_id, last_activity_at=_timestamp(at))
                for session_id, at in activity.items()
            ],
        )
        reply = await self._calls.call(
            lambda stubs: stubs.trust.ReportActivity, request, self._effort
        )
        return {one.session_id: span_of(one.interval).total_seconds() for one in reply.intervals}

    async def watch(self, begin: Callable[[], trust_pb.WatchTrustRequest]) -> Stream:
        """Open a stream of the trust feed on a server that is connected.

        Raises TokenServiceError; what happens to the stream later, reading it tells.
        """
        stubs = await self._connection.ready_stubs(CONNECT_WITHIN)
        metadata = await self._connection.metadata()
        call = stubs.trust.WatchTrust(begin(), metadata=metadata)
        return FeedStream(self._connection, stubs, metadata, call)


class FeedStream:
    """An open stream of the trust feed, which tells the connection what becomes of it."""

    def __init__(
        self,
        connection: Connection,
        stubs: Stubs,
        metadata: Metadata,
        call: grpc.aio.UnaryStreamCall[Any, Any],
    ) -> None:
        self._connection = connection
        self._stubs = stubs
        self._metadata = metadata
        self._call = call

    @property
    def outdated(self) -> bool:
        """Whether another stream would go over a newer channel."""
        return not self._connection.current(self._stubs)

    async def read(self) -> object:
        """Give the next message, or ``grpc.aio.EOF``. Raises TokenServiceError."""
        try:
            return await self._call.read()
        except asyncio.CancelledError:
            self._connection.raise_if_replaced()
            raise
        except grpc.RpcError as error:
            failure = error_of(error)
            if isinstance(failure, Unreachable):
                self._connection.failed(self._stubs, failure)
            elif failure.reason is Reason.CALLER_UNAUTHENTICATED:
                self._connection.rejected(self._metadata)
            raise failure from None

    def cancel(self) -> bool:
        """End the call."""
        return self._call.cancel()


def _timestamp(seconds: float) -> Timestamp:
    whole = int(seconds // 1)
    return Timestamp(seconds=whole, nanos=int((seconds - whole) * 1_000_000_000))
