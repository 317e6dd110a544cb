"""Lists for programs without an event loop."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Concatenate, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokenservice._listing import Listing, Page
    from tokenservice._sync.background_loop import BackgroundLoop
    from tokenservice._sync.face import SyncFace

Client_co = TypeVar("Client_co", covariant=True)
Item = TypeVar("Item")
Parameters = ParamSpec("Parameters")


class SyncListing(Generic[Item]):
    """A list of the service, as :class:`tokenservice.Listing` is one; iterate over it."""

    def __init__(self, listing: Listing[Item], loop: BackgroundLoop) -> None:
        self._listing = listing
        self._loop = loop

    def page(self) -> Page[Item]:
        """Fetch one page: the first, or the one that the list call's ``page_token`` names."""
        return self._loop.run(self._listing.page())

    def after(self, page: Page[Item]) -> SyncListing[Item] | None:
        """Give the rest of the list behind a page, None behind the last one."""
        rest = self._listing.after(page)
        return None if rest is None else SyncListing(rest, self._loop)

    def pages(self) -> Iterator[Page[Item]]:
        """Fetch this page and all that follow."""
        rest: SyncListing[Item] | None = self
        while rest is not None:
            page = rest.page()
            yield page
            rest = rest.after(page)

    def __iter__(self) -> Iterator[Item]:
        for page in self.pages():
            yield from page.items


def listing(
    method: Callable[Concatenate[Client_co, Parameters], Listing[Item]],
) -> Callable[Concatenate[SyncFace[Client_co], Parameters], SyncListing[Item]]:
    """Give the same list method, whose pages are fetched on the client's loop and waited for."""

    @wraps(method)
    def call(
        self: SyncFace[Client_co], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> SyncListing[Item]:
        return SyncListing(method(self.asynchronous, *args, **kwargs), self.loop)

    return call
