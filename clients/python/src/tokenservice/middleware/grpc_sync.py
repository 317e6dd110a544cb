"""Interceptor for gRPC servers with threads; it is used like that for grpc.aio.

A handler finds its caller with :func:`tokenservice.middleware.current_principal`.
"""

from __future__ import annotations

import time
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

import grpc

from tokenservice._times import seconds_of
from tokenservice.middleware._common import (
    RECHECK_EVERY,
    Refused,
    admitted,
    check_audience,
    demand,
    listed,
    next_check,
    set_principal,
)
from tokenservice.middleware._grpc_common import (
    Behavior,
    Handler,
    Resolver,
    abort_of,
    behavior_of,
    peer_thumbprint,
    resolver,
    token_of,
    with_behavior,
)
from tokenservice.middleware._worker import Finished, NotYet, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import timedelta

    from tokenservice._decisions.decision import Decision, Principal, ValidatesSync
    from tokenservice.middleware._common import Refusal
    from tokenservice.middleware._routes import Route

    Context = grpc.ServicerContext
    Decide = Callable[[], Decision]
    Admit = Callable[[Context], tuple[Principal, Decide]]

_END: Final = object()


class TokenInterceptor(grpc.ServerInterceptor):
    """Lets a call through to its handler when its token may do what the method demands.

    The arguments are those of :class:`tokenservice.middleware.grpc_aio.TokenInterceptor`, with
    a validator for threads. So that a stream can be ended while its handler waits for
    something, its handler runs in a thread of its own beside that of the server's pool, unless
    ``recheck_every`` is None. A handler whose stream was ended sees what it sees when its
    client is gone: ``context.is_active()`` is False, and no more requests come.
    """

    def __init__(
        self,
        validator: ValidatesSync,
        *,
        audience: str,
        methods: Mapping[str, Route] | Resolver,
        confirmation: Callable[[Context], bytes] | None = None,
        recheck_every: timedelta | None = RECHECK_EVERY,
    ) -> None:
        self._validator = validator
        self._audience = check_audience(audience)
        self._resolve = resolver(methods)
        self._confirmation = confirmation or _peer
        self._recheck_every = seconds_of(recheck_every, "recheck_every")

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Put the question about the token before the handler."""
        handler = continuation(handler_call_details)
        route = self._resolve(handler_call_details)
        if handler is None or (route is not None and route.public):
            return handler
        metadata = handler_call_details.invocation_metadata or ()
        admit = partial(self._admit, route, metadata)
        inner = behavior_of(handler)
        every = self._recheck_every if handler.request_streaming else None
        if handler.response_streaming:
            return with_behavior(handler, _streamed(inner, admit, self._recheck_every))
        return with_behavior(handler, _answered(inner, admit, every))

    def _admit(
        self,
        route: Route | None,
        metadata: Iterable[tuple[str, str | bytes]],
        context: Context,
    ) -> tuple[Principal, Decide]:
        try:
            demanded = demand(listed(route), self._audience, self._confirmation(context))
            token = token_of(metadata)
        except Refused as refused:
            _abort(context, refused.refusal)
        decide = partial(self._validator.validate, token, **demanded)
        return _admitted(context, decide), decide


def _answered(inner: Behavior, admit: Admit, every: float | None) -> Behavior:
    """Guard a handler with one response; with ``every`` it is ended when its token is."""

    def guarded(request: object, context: Context) -> object:
        principal, decide = admit(context)
        run_as = _as(principal)
        if every is None:
            return run_as(inner, request, context)
        worker = run_as(Worker, lambda: (inner(request, context),))
        return next(_held(worker, context, decide, principal, every), None)

    return guarded


def _streamed(inner: Behavior, admit: Admit, every: float | None) -> Behavior:
    """Guard a handler with many responses; with ``every`` it is ended when its token is."""

    def guarded(request: object, context: Context) -> Iterator[object]:
        principal, decide = admit(context)
        run_as = _as(principal)
        if every is not None:
            worker = run_as(Worker, partial(inner, request, context))
            yield from _held(worker, context, decide, principal, every)
            return
        responses = iter(run_as(inner, request, context))
        while (response := run_as(next, responses, _END)) is not _END:
            yield response

    return guarded


def _held(
    worker: Worker[Any], context: Context, decide: Decide, principal: Principal, every: float
) -> Iterator[Any]:
    """Give what the handler makes, for as long as the token is good and the client is there."""
    due = time.monotonic() + next_check(principal, time.time(), every)
    try:
        while True:
            if time.monotonic() >= due:
                if not context.is_active():
                    return
                principal = _admitted(context, decide)
                due = time.monotonic() + next_check(principal, time.time(), every)
            try:
                yield worker.take(due - time.monotonic())
            except NotYet:
                continue
            except Finished:
                return
    finally:
        worker.stop()


def _admitted(context: Context, decide: Decide) -> Principal:
    try:
        return admitted(decide())
    except Refused as refused:
        _abort(context, refused.refusal)


def _as(principal: Principal) -> Callable[..., Any]:
    """Make a way to call functions for which the principal is the current one.

    The context is a copy: the server's thread serves somebody else next.
    """
    context = copy_context()
    context.run(set_principal, principal)
    return context.run


def _abort(context: Context, refusal: Refusal) -> NoReturn:
    code, text, trailing = abort_of(refusal)
    context.set_trailing_metadata(trailing)
    context.abort(code, text)


def _peer(context: Context) -> bytes:
    # The stubs take the values for bytes; they are sequences of bytes.
    return peer_thumbprint(context.auth_context())  # type: ignore[arg-type]
