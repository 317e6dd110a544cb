"""One object per call: from raw bytes to a reply or a status.

The library asks such an object how the method streams and calls the matching coroutine. Requests
arrive unparsed and replies leave serialised, so that every failure on the way is ours to name.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from token_service.domain import deadline
from token_service.domain.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.rpc.admission import REQUEST_ID, CallContext, Envelope, Metadata
from token_service.rpc.errors import (
    DETAILS_KEY,
    reply_for,
    shutting_down,
    too_large,
    unparsable,
)
from token_service.rpc.methods import Reply, Shape
from token_service.rpc.policy import Work

if TYPE_CHECKING:
    from token_service.rpc.pipeline import Pipeline, Route

_log = structlog.stdlib.get_logger("token_service.rpc")


class Context(CallContext, Protocol):
    """What of the library's context the pipeline uses; handlers see none of it."""

    def time_remaining(self) -> float | None:
        """Seconds until the client's deadline; None when it set none."""

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """What goes out with a successful status."""

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """What goes out before the first message."""

    async def write(self, message: bytes) -> None:
        """One message of a stream."""

    async def abort(self, code: grpc.StatusCode, details: str, metadata: Metadata) -> NoReturn:
        """End the call with an error status; always raises."""


class _Call:
    """What calls of every shape have in common."""

    __slots__ = ("_caller", "_envelope", "_metadata", "_pipeline", "_route", "_started")

    request_streaming: ClassVar[bool] = False
    response_streaming: ClassVar[bool] = False
    request_deserializer: ClassVar[None] = None
    response_serializer: ClassVar[None] = None

    def __init__(self, pipeline: "Pipeline", route: "Route", metadata: Metadata) -> None:
        self._started = time.perf_counter()
        self._pipeline = pipeline
        self._route = route
        self._metadata = metadata
        self._envelope: Envelope | None = None
        self._caller = ""

    @property
    def envelope(self) -> Envelope:
        """What the metadata says, read when it is first needed."""
        if self._envelope is None:
            self._envelope = Envelope(self._metadata, self._pipeline.new_request_id)
        return self._envelope

    async def _admit(self, context: Context) -> Caller:
        """Whether this caller may call this method now. What is logged from here on names it."""
        caller = await self._route.admission.admit(self.envelope, context)
        self._caller = caller.client_id
        structlog.contextvars.bind_contextvars(
            request_id=caller.request_id, caller=caller.client_id
        )
        return caller

    def _parse(self, raw: bytes) -> Message:
        route = self._route
        if len(raw) > route.max_bytes:
            raise too_large(route.max_bytes)
        try:
            return route.parse(raw)
        except DecodeError as error:
            raise unparsable() from error

    def _seconds_left(self, context: Context) -> float:
        """The client's deadline or the method's, whichever ends first; 0 for no end."""
        longest = self._route.longest
        remaining = context.time_remaining()
        if remaining is None:
            return longest
        return min(remaining, longest) if longest else remaining

    def _limited(self, context: Context) -> AbstractAsyncContextManager[Any]:
        """The scope in which the call works, cut off at its deadline."""
        seconds = self._seconds_left(context)
        if not seconds:
            return nullcontext()
        deadline.start(seconds)
        return asyncio.timeout(seconds)

    def _succeeded(self, context: Context) -> None:
        context.set_trailing_metadata(((REQUEST_ID, self.envelope.request_id),))
        seconds = time.perf_counter() - self._started
        self._route.counters.count("OK", seconds)
        self._report("OK", "", seconds)

    async def _failed(self, error: BaseException, context: Context) -> NoReturn:
        """Turn `error` into a status, and always raise: what the library expects after that."""
        if isinstance(error, asyncio.CancelledError) and _cancelled_from_outside():
            left = context.time_remaining()
            self._ended("CANCELLED" if left is None or left > 0 else "DEADLINE_EXCEEDED", "")
            raise error
        if isinstance(error, grpc.aio.AbortError) or not isinstance(
            error, (Exception, asyncio.CancelledError)
        ):
            raise error
        reply = reply_for(error)
        self._ended(reply.code.name, reply.reason, error if reply.fault else None)
        await context.abort(
            reply.code,
            reply.message,
            ((DETAILS_KEY, reply.details), (REQUEST_ID, self.envelope.request_id)),
        )

    def _ended(self, code: str, reason: str, fault: BaseException | None = None) -> None:
        seconds = time.perf_counter() - self._started
        self._route.counters.count(code, seconds)
        self._report(code, reason, seconds, fault)

    def _report(
        self, code: str, reason: str, seconds: float, fault: BaseException | None = None
    ) -> None:
        level = "info" if fault is None else "error"
        getattr(_log, level)(
            "call",
            method=self._route.name,
            code=code,
            reason=reason,
            caller=self._caller,
            request_id=self.envelope.request_id,
            milliseconds=round(seconds * 1e3, 2),
            exc_info=fault,
        )


class UnaryCall(_Call):
    """One request, one reply."""

    __slots__ = ()

    async def unary_unary(self, raw: bytes, context: Context) -> bytes:
        """Called by the library."""
        bound = self._route.bound
        try:
            bound.enter()
            try:
                async with self._limited(context):
                    caller = await self._admit(context)
                    reply = _serialised(await self._route.handler(caller, self._parse(raw)))
            finally:
                bound.leave()
        except BaseException as error:  # noqa: BLE001 - the one place where errors are mapped
            await self._failed(error, context)
        self._succeeded(context)
        return reply


class HotCall(_Call):
    """One request, one reply, in the fewest steps: no timer (the deadline bounds store calls,
    and as a rule there are none), and when it succeeds neither a log line nor a request id."""

    __slots__ = ()

    async def unary_unary(self, raw: bytes, context: Context) -> bytes:
        """Called by the library."""
        route = self._route
        bound = route.bound
        try:
            bound.enter()
            try:
                deadline.start(self._seconds_left(context))
                caller = route.admission.recognise(self._metadata) or await self._admit(context)
                reply = await route.handler(caller, self._parse(raw))
                if type(reply) is not bytes:
                    reply = reply.SerializeToString()
            finally:
                bound.leave()
        except BaseException as error:  # noqa: BLE001 - the one place where errors are mapped
            await self._failed(error, context)
        route.counters.count("OK", time.perf_counter() - self._started)
        return reply  # type: ignore[no-any-return]


class StreamCall(_Call):
    """One request, many replies."""

    __slots__ = ("_stopping", "_task")

    response_streaming = True

    async def unary_stream(self, raw: bytes, context: Context) -> None:
        """Called by the library."""
        await self._run(context, lambda caller: self._route.handler(caller, self._parse(raw)))

    async def _run(self, context: Context, replies: Callable[[Caller], Any]) -> None:
        bound = self._route.bound
        self._stopping = False
        self._task = asyncio.current_task()
        try:
            bound.enter()
            self._pipeline.streams.add(self)
            try:
                await self._stream(context, replies)
            finally:
                self._pipeline.streams.discard(self)
                bound.leave()
        except BaseException as error:  # noqa: BLE001 - the one place where errors are mapped
            await self._failed(self._told_to_stop(error), context)
        self._succeeded(context)

    async def _stream(self, context: Context, replies: Callable[[Caller], Any]) -> None:
        async with self._limited(context):
            caller = await self._admit(context)
            async with aclosing(replies(caller)) as messages:
                await context.send_initial_metadata(((REQUEST_ID, caller.request_id),))
                async for message in messages:
                    await context.write(_serialised(message))

    @property
    def work(self) -> Work:
        """The class of work that the stream counts as."""
        return self._route.work

    def stop(self) -> None:
        """End the stream, wherever it waits."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()

    def _told_to_stop(self, error: BaseException) -> BaseException:
        """`error`, unless it is the cancellation that `stop` itself asked for."""
        if not self._stopping or not isinstance(error, asyncio.CancelledError):
            return error
        if self._task is not None and self._task.uncancel() > 0:
            return error  # the client went away at the same moment
        return shutting_down()


class DialogueCall(StreamCall):
    """Many requests, many replies."""

    __slots__ = ()

    request_streaming = True

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Called by the library."""
        await self._run(context, lambda caller: self._route.handler(caller, self._parsed(requests)))

    async def _parsed(self, requests: AsyncIterator[bytes]) -> AsyncIterator[Message]:
        async for raw in requests:
            yield self._parse(raw)


class UnknownCall:
    """A call of a method that is not offered. Requests are not even read."""

    __slots__ = ("_envelope", "_pipeline")

    request_streaming: ClassVar[bool] = True
    response_streaming: ClassVar[bool] = False
    request_deserializer: ClassVar[None] = None
    response_serializer: ClassVar[None] = None

    def __init__(self, pipeline: "Pipeline", metadata: Metadata) -> None:
        self._pipeline = pipeline
        self._envelope = Envelope(metadata, pipeline.new_request_id)

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Context) -> NoReturn:
        """Called by the library."""
        del requests
        self._pipeline.unknown_counters.count("UNIMPLEMENTED", 0.0)
        reply = reply_for(TokenServiceError(Reason.METHOD_UNKNOWN, "there is no such method"))
        await context.abort(
            reply.code,
            reply.message,
            ((DETAILS_KEY, reply.details), (REQUEST_ID, self._envelope.request_id)),
        )


def call_type(shape: Shape, *, hot: bool) -> type[_Call]:
    """How calls of a method are run."""
    if shape is Shape.UNARY:
        return HotCall if hot else UnaryCall
    return StreamCall if shape is Shape.STREAM else DialogueCall


def _serialised(reply: Reply) -> bytes:
    return reply if isinstance(reply, bytes) else reply.SerializeToString()


def _cancelled_from_outside() -> bool:
    """Whether the call itself was cancelled, rather than something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
