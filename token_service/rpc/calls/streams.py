"""Calls that stream: many replies to one request, or many each way."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, closing
from typing import Any, NoReturn

import grpc
from google.protobuf.message import Message

from token_service.domain.clients.caller import Caller
from token_service.rpc.admission import REQUEST_ID
from token_service.rpc.calls.call import Call, serialised
from token_service.rpc.calls.shared import Refusal
from token_service.rpc.context import Context
from token_service.rpc.errors import too_slow
from token_service.rpc.policy_table import Work

Replies = AsyncGenerator[Any, None]


class _Patience:
    """Calls `give_up` when something that was begun is not over after so many seconds.

    One timer serves all that is begun before it goes off: messages are many.
    """

    __slots__ = ("_give_up", "_loop", "_seconds", "_since", "_timer")

    def __init__(self, seconds: float, give_up: Callable[[], None]) -> None:
        self._seconds = seconds
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """From now."""
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def over(self) -> None:
        """In time."""
        self._since = None

    def close(self) -> None:
        """Nothing more will be begun."""
        self._since = None
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._since is None:
            return
        left = self._since + self._seconds - self._loop.time()
        if left <= 0:
            self._give_up()
        else:
            self._timer = self._loop.call_later(left, self._look)


class StreamCall(Call):
    """One request, many replies.

    Nothing is queued: the next reply is asked for when the one before has left for the client.
    A client that does not take one in time is disconnected.
    """

    __slots__ = ("_refusal", "_task")

    response_streaming = True

    async def stream_stream(self, requests: object, context: Context) -> None:
        """Called by the library."""
        del requests
        self.begin(context)
        self._refusal: Refusal | None = None
        self._task: asyncio.Task[Any] | None = None
        try:
            try:
                self.enter()
                self._shared.streams.add(self)
                try:
                    await self._stream(context)
                finally:
                    self._shared.streams.discard(self)
            except BaseException as error:  # noqa: BLE001 - the one place where errors are mapped
                await self._fail(self._told_to_end(error), context)
        finally:  # and not before the client took its status: until then it costs memory
            self.leave()
        self.succeeded(context)

    async def _stream(self, context: Context) -> None:
        patience = _Patience(self._shared.patience, lambda: self.end(too_slow))
        async with self.limited(context):
            caller = await self.admit(context)
            raw = await self.request(caller, context)
            with closing(patience):
                await self._send(caller, context, self._replies(caller, raw, context), patience)

    def _replies(self, caller: Caller, raw: bytes, context: Context) -> Replies:
        """What the handler answers to the request."""
        del context
        return self.route.handler(caller, self.parse(raw))  # type: ignore[no-any-return]

    async def _send(
        self,
        caller: Caller,
        context: Context,
        replies: Replies,
        patience: _Patience,
    ) -> None:
        async with aclosing(replies) as messages:
            await context.send_initial_metadata(((REQUEST_ID, caller.request_id),))
            self._task = asyncio.current_task()
            if self._refusal is not None:
                raise self._refusal()
            async for message in messages:
                patience.begin()
                await context.write(serialised(message))
                patience.over()

    async def _fail(self, error: BaseException, context: Context) -> NoReturn:
        try:
            await self.failed(error, context)
        except grpc.aio.InternalError:  # the client was gone before it took its status
            raise asyncio.CancelledError from None

    @property
    def work(self) -> Work:
        """The class of work that the stream counts as."""
        return self.route.work

    def end(self, refusal: Refusal) -> None:
        """End the stream wherever it waits, with this error; one that is only beginning ends when
        it has begun, since the library does not survive a second try at the initial metadata."""
        self._refusal = refusal
        if self._task is not None:
            self._task.cancel()

    def _told_to_end(self, error: BaseException) -> BaseException:
        """`error`, unless it is the cancellation that `end` itself asked for."""
        if self._refusal is None or not isinstance(error, asyncio.CancelledError):
            return error
        if self._task is not None and self._task.uncancel() > 0:
            return error  # the client went away at the same moment
        return self._refusal()


class DialogueCall(StreamCall):
    """Many requests, many replies."""

    __slots__ = ()

    def _replies(self, caller: Caller, raw: bytes, context: Context) -> Replies:
        """What the handler answers to the requests, of which the first is there."""
        requests = self._parsed(raw, context)
        return self.route.handler(caller, requests)  # type: ignore[no-any-return]

    async def _parsed(self, first: bytes, context: Context) -> AsyncIterator[Message]:
        yield self.parse(first)
        while (raw := await context.read()) is not grpc.aio.EOF:
            yield self.parse(raw)
