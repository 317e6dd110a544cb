"""What the clients for programs without an event loop have in common."""

from __future__ import annotations

from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator

    from tokenservice._sync.background_loop import BackgroundLoop

Client_co = TypeVar("Client_co", covariant=True)
Item = TypeVar("Item")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class SyncFace(Generic[Client_co]):
    """A client whose calls run on ``loop`` and are waited for; any thread may call.

    ``loop`` runs ``asynchronous``, which is not to be used elsewhere.
    """

    def __init__(self, asynchronous: Client_co, loop: BackgroundLoop) -> None:
        self.asynchronous = asynchronous
        self.loop = loop

    def iterated(self, items: AsyncGenerator[Item, None]) -> Generator[Item, None, None]:
        """Give the items, each waited for; who stops early ends the generator."""
        try:
            while True:
                try:
                    yield self.loop.run(_next(items))
                except StopAsyncIteration:
                    return
        finally:
            with suppress(RuntimeError):  # the loop is closed, and the generator with it
                self.loop.run(items.aclose())


async def _next(items: AsyncGenerator[Item, None]) -> Item:
    return await anext(items)


def waiting(
    method: Callable[Concatenate[Client_co, Parameters], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[SyncFace[Client_co], Parameters], Result]:
    """Give the same method, run on the client's loop and waited for."""

    @wraps(method)
    def call(
        self: SyncFace[Client_co], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        return self.loop.run(method(self.asynchronous, *args, **kwargs))

    return call
