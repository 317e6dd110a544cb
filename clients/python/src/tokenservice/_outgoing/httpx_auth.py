"""A program's own token on its outgoing HTTP requests, with HTTPX (the extra ``httpx``).

::

    async with httpx.AsyncClient(auth=BearerAuth(source)) as http:
        await http.get("https://orders.internal/v1/orders")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from tokenservice._outgoing.token_source import SyncTokenSource, TokenSource
from tokenservice._transport.addresses import is_local_host

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

_STEP_UP = "insufficient_user_authentication"


class BearerAuth(httpx.Auth):
    """Sends ``Authorization: Bearer …`` (RFC 6750), and once more with another token after a 401.

    An ``httpx.AsyncClient`` takes a :class:`TokenSource`, an ``httpx.Client`` a
    :class:`SyncTokenSource`. Raises ValueError for a request without TLS to another machine, unless
    ``allow_plaintext`` says that the network may read the token. A request whose body is a stream
    is not sent twice, nor one that a new token cannot help (RFC 9470).
    """

    def __init__(
        self, source: TokenSource | SyncTokenSource, *, allow_plaintext: bool = False
    ) -> None:
        self._source = source
        self._allow_plaintext = allow_plaintext

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Follow one request of an ``httpx.Client``."""
        source = self._source
        if not isinstance(source, SyncTokenSource):
            raise TypeError("an httpx.Client needs a SyncTokenSource")
        repeatable = isinstance(request.stream, httpx.ByteStream)
        token = source.token()
        response = yield self._with(request, token)
        if repeatable and _may_help(response):
            source.rejected(token)
            yield self._with(request, source.token())

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Follow one request of an ``httpx.AsyncClient``."""
        source = self._source
        if not isinstance(source, TokenSource):
            raise TypeError("an httpx.AsyncClient needs a TokenSource")
        repeatable = isinstance(request.stream, httpx.ByteStream)
        token = await source.token()
        response = yield self._with(request, token)
        if repeatable and _may_help(response):
            source.rejected(token)
            yield self._with(request, await source.token())

    def _with(self, request: httpx.Request, token: str) -> httpx.Request:
        secure = request.url.scheme == "https" or is_local_host(request.url.host)
        if not secure and not self._allow_plaintext:
            raise ValueError("a token must not travel to another machine without TLS")
        request.headers["Authorization"] = f"Bearer {token}"
        return request


def _may_help(response: httpx.Response) -> bool:
    """Whether another token may be accepted where this one was not."""
    return (
        response.status_code == httpx.codes.UNAUTHORIZED
        and _STEP_UP not in response.headers.get("WWW-Authenticate", "")
    )
