"""One object per call: from raw bytes to a reply or a status.

The library asks such an object how the method streams and calls the matching coroutine. Requests
arrive unparsed and replies leave serialised, so that every failure on the way is ours to name.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from token_service.domain import deadline
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.rpc.admission import REQUEST_ID, Envelope, peer_address, place_of
from token_service.rpc.calls.routes import Route
from token_service.rpc.calls.shared import Shared
from token_service.rpc.context import Context, Metadata
from token_service.rpc.errors import (
    DETAILS_KEY,
    RefusedAtTheDoor,
    missing_request,
    reply_for,
    too_large,
    unparsable,
)
from token_service.rpc.methods import Reply

_log = structlog.stdlib.get_logger("token_service.rpc")


DEADLINE_LEEWAY = 0.1
"""A deadline that is so near, in seconds, may have come at the client's side already: on its way it
is rounded up."""

_UNLIMITED = nullcontext()
_NOTHING: Mapping[str, str] = MappingProxyType({})


_OF_A_STRANGER = (Reason.CALLER_UNAUTHENTICATED, Reason.RATE_LIMITED)
"""What a flood is refused with, and not for want of room."""


class Call:
    """What calls of every shape have in common."""

    __slots__ = (
        "_address",
        "_admitting",
        "_at_work",
        "_caller",
        "_envelope",
        "_holder",
        "_metadata",
        "_peer",
        "_shared",
        "route",
        "started",
    )

    # To the library every method takes many requests: then it lets a call in before its request
    # is there, and leaves to us whether and when to read one.
    request_streaming: ClassVar[bool] = True
    response_streaming: ClassVar[bool] = False
    request_deserializer: ClassVar[None] = None
    response_serializer: ClassVar[None] = None

    def __init__(self, shared: Shared, route: Route, metadata: Metadata) -> None:
        self.started = time.perf_counter()
        self._admitting = False
        self._at_work = False
        self._shared = shared
        self.route = route
        self._metadata = metadata
        self._envelope: Envelope | None = None
        self._caller = ""
        self._holder = ""

    @property
    def envelope(self) -> Envelope:
        """What the metadata says, read when it is first needed."""
        if self._envelope is None:
            self._envelope = Envelope(self._metadata, self._shared.new_request_id)
        return self._envelope

    def begin(self, context: Context) -> None:
        """Look at where the call comes from. Raises CancelledError for what still comes up of a
        connection that is ended: an answer would go nowhere."""
        self._peer = context.peer()
        if self._shared.peers.condemned(self._peer):
            self.route.counters.count("CANCELLED", 0.0)
            raise asyncio.CancelledError

    def enter(self) -> None:
        """Take a place among the calls in flight, for the caller's address as yet. Raises
        OVERLOADED and SHUTTING_DOWN."""
        self._address = peer_address(self._peer)
        self.take(place_of(self._address))

    def take(self, holder: str) -> None:
        """Take a place for `holder`; every place is given back with `leave`."""
        self.route.bound.enter(holder)
        self._holder = holder

    def leave(self) -> None:
        """Give the call's place back, if it has one."""
        if self._holder:
            self.route.bound.leave(self._holder)
            self._holder = ""

    async def admit(self, context: Context) -> Caller:
        """Whether this caller may call this method now; the place is its own then. What is logged
        from here on names it."""
        self._admitting = True
        caller = await self.route.admission.admit(self.envelope, context, self._address)
        self._admitting = False
        self._caller = caller.client_id
        if caller.client_id:
            self.route.bound.pass_on(self._holder, caller.client_id)
            self._holder = caller.client_id
            self._shared.peers.recognise(self._peer)
        structlog.contextvars.bind_contextvars(
            request_id=caller.request_id, caller=caller.client_id
        )
        return caller

    async def request(self, caller: Caller, context: Context) -> bytes:
        """The request as it came. Raises FIELD_INVALID when there is none, OVERLOADED, and what
        Arrivals.request does. The call's place is free while it waits, and taken again for the
        work."""
        holder = caller.client_id or self._holder
        self.leave()
        shared = self._shared
        arrivals = shared.arrivals if caller.client_id else shared.anonymous_arrivals
        raw = await arrivals.request(self, context)
        if raw is None:
            self._given_up(context)
            raise missing_request()
        self.take(holder)
        self._at_work = True
        return raw

    def parse(self, raw: bytes) -> Message:
        """The request. Raises FIELD_INVALID for one that is too large or no request at all."""
        route = self.route
        if len(raw) > route.max_bytes:
            raise too_large(route.max_bytes)
        try:
            return route.parse(raw)
        except DecodeError as error:
            raise unparsable() from error

    def seconds_left(self, context: Context) -> float | None:
        """Until the client's deadline or the method's, whichever is first; None for neither."""
        longest = self.route.longest
        remaining = context.time_remaining()
        if remaining is None or longest is None:
            return longest if remaining is None else remaining
        return min(remaining, longest)

    def limited(self, context: Context) -> AbstractAsyncContextManager[Any]:
        """The scope in which the call works, cut off at the method's longest time. A client's
        deadline before that needs no timer of ours: the library cancels the call at it."""
        seconds = self.seconds_left(context)
        if seconds is None:
            return _UNLIMITED
        deadline.start(seconds)
        return asyncio.timeout(seconds) if seconds == self.route.longest else _UNLIMITED

    def succeeded(self, context: Context) -> None:
        """Count and report a call that ended well."""
        context.set_trailing_metadata(((REQUEST_ID, self.envelope.request_id),))
        seconds = time.perf_counter() - self.started
        self.route.counters.count("OK", seconds)
        if not self.route.audited:
            self._report("OK", "", seconds)

    async def failed(self, error: BaseException, context: Context) -> NoReturn:
        """Turn `error` into a status, and always raise: what the library expects after that."""
        if isinstance(error, asyncio.CancelledError) and _cancelled_from_outside():
            self._cancelled(context)
            raise error
        if isinstance(error, grpc.aio.AbortError) or not isinstance(
            error, (Exception, asyncio.CancelledError)
        ):
            raise error
        if isinstance(error, RefusedAtTheDoor) and error.reason in _OF_A_STRANGER:
            self._shared.peers.refused(self._peer)
        reply = reply_for(self.route.told(error))
        seconds = self._count(reply.code.name)
        if self._is_worth_a_line(error):
            about = error.about if isinstance(error, TokenServiceError) else {}
            about = {"address": peer_address(context.peer()), **about}
            self._report(
                reply.code.name, reply.reason, seconds, error if reply.fault else None, about
            )
        await context.abort(
            reply.code,
            reply.message,
            ((DETAILS_KEY, reply.details), (REQUEST_ID, self.envelope.request_id)),
        )

    def _cancelled(self, context: Context) -> None:
        left = context.time_remaining()
        if left is not None and left <= 0:
            self._report("DEADLINE_EXCEEDED", "", self._count("DEADLINE_EXCEEDED"))
            return
        seconds = self._count("CANCELLED")
        # Who has called before and is kept waiting by our stores may well go away.
        kept_waiting = self._admitting and self._shared.peers.knows(self._peer)
        if not self._at_work and not kept_waiting:
            self._given_up(context)
        if self._at_work or self.route.abandoned.is_first():
            self._report("CANCELLED", "", seconds)

    def _given_up(self, context: Context) -> None:
        """Count against the connection that its client gave up the call before it was read, unless
        the client's deadline came: a server that is late must not lose its clients for it."""
        left = context.time_remaining()
        if left is None or left > DEADLINE_LEEWAY:
            self._shared.peers.abandoned(self._peer)

    def _is_worth_a_line(self, error: BaseException) -> bool:
        if not isinstance(error, RefusedAtTheDoor):
            return True
        return self.route.refused[error.reason].is_first()

    def _count(self, code: str) -> float:
        seconds = time.perf_counter() - self.started
        self.route.counters.count(code, seconds)
        return seconds

    def _report(
        self,
        code: str,
        reason: str,
        seconds: float,
        fault: BaseException | None = None,
        about: Mapping[str, str] = _NOTHING,
    ) -> None:
        level = "info" if fault is None else "error"
        known = {"caller": self._caller, **about}
        getattr(_log, level)(
            "call",
            method=self.route.name,
            code=code,
            reason=reason,
            request_id=self.envelope.request_id,
            milliseconds=round(seconds * 1e3, 2),
            exc_info=fault,
            **known,
        )


def serialised(reply: Reply) -> bytes:
    """The reply as it goes out."""
    return reply if isinstance(reply, bytes) else reply.SerializeToString()


def _cancelled_from_outside() -> bool:
    """Whether the call itself was cancelled, rather than something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
