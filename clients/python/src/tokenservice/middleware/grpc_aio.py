"""Interceptor for grpc.aio servers.

    server = grpc.aio.server(
        interceptors=[
            TokenInterceptor(
                validator,
                audience="orders",
                methods={
                    "/orders.v1.Orders/Get": Route(scopes=["orders.read"]),
                    "/grpc.health.v1.Health/*": PUBLIC,
                },
            )
        ]
    )

A handler finds its caller with :func:`tokenservice.middleware.current_principal`.
"""

from __future__ import annotations

import inspect
import logging
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import grpc

from tokenservice._times import seconds_of
from tokenservice.middleware._common import (
    RECHECK_EVERY,
    Refused,
    admitted,
    check_audience,
    demand,
    listed,
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
from tokenservice.middleware._lease import TokenEnded, until_refused, while_good

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from datetime import timedelta

    from tokenservice._decisions.decision import Decision, Validates
    from tokenservice.middleware._routes import Route

    Context = grpc.aio.ServicerContext[Any, Any]

_logger: Final = logging.getLogger(__name__)


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Lets a call through to its handler when its token may do what the method demands.

    ``methods`` is a table (see :class:`~tokenservice.middleware._grpc_common.MethodTable`) or a
    function of the call's details; a method that it does not name is refused with
    PERMISSION_DENIED. ``audience`` is what tokens must have been issued for. ``confirmation``
    gives the SHA-256 thumbprint of the client's certificate, b"" for none; by default that of
    the connection.

    A stream ends with UNAUTHENTICATED when its token is no longer good, which is looked at
    every ``recheck_every`` and when it expires (None: at the beginning only). Handlers
    must be asynchronous: another one cannot be ended, and its method is refused.
    """

    def __init__(
        self,
        validator: Validates,
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

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Put the question about the token before the handler."""
        handler = await continuation(handler_call_details)
        route = self._resolve(handler_call_details)
        if handler is None or (route is not None and route.public):
            return handler
        inner = behavior_of(handler)
        if not (inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)):
            _logger.error("%s has no asynchronous handler", handler_call_details.method)
            return with_behavior(handler, _unusable)
        run = _drained(inner) if handler.response_streaming else inner
        metadata = handler_call_details.invocation_metadata or ()
        streaming = handler.request_streaming or handler.response_streaming

        async def guarded(request: object, context: Context) -> object:
            try:
                decide = self._question(listed(route), token_of(metadata), context)
                principal = admitted(await decide())
                set_principal(principal)
                if not streaming or self._recheck_every is None:
                    return await run(request, context)
                watch = until_refused(decide, principal, self._recheck_every)
                return await while_good(run(request, context), watch)
            except (Refused, TokenEnded) as refused:
                code, text, trailing = abort_of(refused.refusal)
                await context.abort(code, text, trailing)

        return with_behavior(handler, guarded)

    def _question(
        self, route: Route, token: str, context: Context
    ) -> Callable[[], Awaitable[Decision]]:
        demanded = demand(route, self._audience, self._confirmation(context))
        return partial(self._validator.validate, token, **demanded)


def _drained(inner: Behavior) -> Callable[[Any, Context], Coroutine[Any, Any, None]]:
    """Make a generator of responses a coroutine that writes them."""

    async def write(request: object, context: Context) -> None:
        responses = inner(request, context)
        if not inspect.isasyncgen(responses):
            await responses  # it writes by itself
            return
        async with aclosing(responses):
            async for response in responses:
                await context.write(response)

    return write


async def _unusable(_: object, context: Context) -> None:
    await context.abort(grpc.StatusCode.INTERNAL, "the method cannot be protected")


def _peer(context: Context) -> bytes:
    return peer_thumbprint(context.auth_context())
