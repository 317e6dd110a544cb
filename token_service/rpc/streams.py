"""Calls that stream: many replies to one request, or many each way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from google.protobuf.message import Message

from token_service.domain.caller import Caller
from token_service.rpc.admission import REQUEST_ID
from token_service.rpc.calls import Call, Context, serialised
from token_service.rpc.errors import shutting_down
from token_service.rpc.policy import Work


class StreamCall(Call):
    """One request, many replies."""

    __slots__ = ("_stopping", "_task")

    response_streaming = True

    async def unary_stream(self, raw: bytes, context: Context) -> None:
        """Called by the library."""
        await self._run(context, lambda caller: self.route.handler(caller, self.parse(raw)))

    async def _run(self, context: Context, replies: Callable[[Caller], Any]) -> None:
        bound = self.route.bound
        self._stopping = False
        self._task: asyncio.Task[Any] | None = None
        try:
            bound.enter()
            self.pipeline.streams.add(self)
            try:
                await self._stream(context, replies)
            finally:
                self.pipeline.streams.discard(self)
                bound.leave()
        except BaseException as error:  # noqa: BLE001 - the one place where errors are mapped
            await self.failed(self._told_to_stop(error), context)
        self.succeeded(context)

    async def _stream(self, context: Context, replies: Callable[[Caller], Any]) -> None:
        async with self.limited(context):
            caller = await self.admit(context)
            async with aclosing(replies(caller)) as messages:
                await context.send_initial_metadata(((REQUEST_ID, caller.request_id),))
                self._task = asyncio.current_task()
                if self._stopping:
                    raise shutting_down()
                async for message in messages:
                    await context.write(serialised(message))

    @property
    def work(self) -> Work:
        """The class of work that the stream counts as."""
        return self.route.work

    def stop(self) -> None:
        """End the stream wherever it waits; one that is only beginning ends when it has begun,
        since the library does not survive a second try at the initial metadata."""
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
        await self._run(context, lambda caller: self.route.handler(caller, self._parsed(requests)))

    async def _parsed(self, requests: AsyncIterator[bytes]) -> AsyncIterator[Message]:
        async for raw in requests:
            yield self.parse(raw)
