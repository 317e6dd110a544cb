"""A program's own token on its outgoing gRPC calls, of ``grpc`` and of ``grpc.aio``.

::

    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(), call_credentials(source)
    )
    channel = grpc.aio.secure_channel("orders.internal:443", credentials)

gRPC sends call credentials over TLS only. A call that ends with UNAUTHENTICATED although the
token was fresh was refused before its time: tell the source by ``source.rejected(token)``.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from tokenservice._outgoing.token_source import SyncTokenSource

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

    from tokenservice._outgoing.token_source import TokenSource


class TokenPlugin(grpc.AuthMetadataPlugin):
    """Adds ``authorization: Bearer …``; gRPC calls it on threads of its own for every call.

    With a :class:`TokenSource` it must be made on the event loop that the source is used on, which
    must not wait for these calls without giving way.
    """

    def __init__(self, source: TokenSource | SyncTokenSource) -> None:
        self._current = source.current
        if isinstance(source, SyncTokenSource):
            self._submit = partial(_submit, source.asynchronous, source.loop.submit)
        else:
            loop = asyncio.get_running_loop()
            self._submit = partial(_submit, source, partial(_run_on, loop))

    def __call__(
        self,
        context: grpc.AuthMetadataContext,  # noqa: ARG002 - one audience, whatever the method
        callback: grpc.AuthMetadataPluginCallback,
    ) -> None:
        """Answer at once, or when a refresh that is due has ended."""
        token = self._current()
        if token is not None:
            callback(_metadata(token), None)
            return
        try:
            self._submit().add_done_callback(lambda future: _answer(future, callback))
        except RuntimeError as error:  # the loop has ended
            callback((), error)


def call_credentials(source: TokenSource | SyncTokenSource) -> grpc.CallCredentials:
    """Make call credentials; see :class:`TokenPlugin`."""
    return grpc.metadata_call_credentials(TokenPlugin(source), "token-source")


def _submit(
    source: TokenSource, submit: Callable[[Coroutine[Any, Any, str]], Future[str]]
) -> Future[str]:
    return submit(source.token())


def _run_on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, str]) -> Future[str]:
    try:
        return asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        coroutine.close()
        raise


def _answer(future: Future[str], callback: grpc.AuthMetadataPluginCallback) -> None:
    if future.cancelled():
        callback((), RuntimeError("the token source was closed"))
        return
    error = future.exception()
    if error is not None:
        callback((), error if isinstance(error, Exception) else RuntimeError("no token"))
        return
    callback(_metadata(future.result()), None)


def _metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)
