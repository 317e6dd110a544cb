"""Calls with one request and one reply, and those of methods that are not offered."""

import asyncio
import time
from typing import ClassVar, NoReturn

from token_service.domain import deadline
from token_service.domain.errors import Reason, TokenServiceError
from token_service.rpc.admission import REQUEST_ID, Envelope
from token_service.rpc.calls.call import Call, serialised
from token_service.rpc.calls.shared import Shared
from token_service.rpc.context import Context, Metadata
from token_service.rpc.errors import DETAILS_KEY, reply_for


class UnaryCall(Call):
    """One request, one reply."""

    __slots__ = ()

    async def stream_unary(self, requests: object, context: Context) -> bytes:
        """Called by the library."""
        del requests
        self.begin(context)
        try:
            try:
                self.enter()
                async with self.limited(context):
                    caller = await self.admit(context)
                    raw = await self.request(caller, context)
                    reply = serialised(await self.route.handler(caller, self.parse(raw)))
            finally:
                self.leave()
        except BaseException as error:  # noqa: BLE001 - the one place where errors are mapped
            await self.failed(error, context)
        self.succeeded(context)
        return reply


class HotCall(Call):
    """One request, one reply, in the fewest steps: no timer (the deadline bounds store calls,
    and as a rule there are none), and when it succeeds neither a log line nor a request id."""

    __slots__ = ()

    async def stream_unary(self, requests: object, context: Context) -> bytes:
        """Called by the library."""
        del requests
        self.begin(context)
        route = self.route
        try:
            try:
                seconds = self.seconds_left(context)
                if seconds is not None:
                    deadline.start(seconds)
                caller = route.admission.recognise(self._metadata)
                if caller is None:
                    self.enter()
                    caller = await self.admit(context)
                else:
                    self._caller = caller.client_id  # who is refused is named in the log
                    self._shared.peers.recognise(self._peer)
                raw = await self.request(caller, context)
                reply = await route.handler(caller, self.parse(raw))
                if type(reply) is not bytes:
                    reply = reply.SerializeToString()
            finally:
                self.leave()
        except BaseException as error:  # noqa: BLE001 - the one place where errors are mapped
            await self.failed(error, context)
        route.counters.count("OK", time.perf_counter() - self.started)
        return reply  # type: ignore[no-any-return]


class UnknownCall:
    """A call of a method that is not offered. Requests are not even read."""

    __slots__ = ("_envelope", "_shared")

    request_streaming: ClassVar[bool] = True
    response_streaming: ClassVar[bool] = False
    request_deserializer: ClassVar[None] = None
    response_serializer: ClassVar[None] = None

    def __init__(self, shared: Shared, metadata: Metadata) -> None:
        self._shared = shared
        self._envelope = Envelope(metadata, shared.new_request_id)

    async def stream_unary(self, requests: object, context: Context) -> NoReturn:
        """Called by the library."""
        del requests
        peer = context.peer()
        if self._shared.peers.condemned(peer):
            raise asyncio.CancelledError
        self._shared.peers.refused(peer)
        self._shared.unknown_counters.count("UNIMPLEMENTED", 0.0)
        reply = reply_for(TokenServiceError(Reason.METHOD_UNKNOWN, "there is no such method"))
        await context.abort(
            reply.code,
            reply.message,
            ((DETAILS_KEY, reply.details), (REQUEST_ID, self._envelope.request_id)),
        )
