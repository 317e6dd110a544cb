"""Lists that the service hands out page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items of a list; ``next_page_token`` is "" on the last page."""

    items: tuple[Item, ...]
    next_page_token: str = ""


class Listing(Generic[Item]):
    """A list of the service. Nothing is fetched before it is asked for.

    ::

        async for user in users.list_users():  # all of them, fetched page by page
            ...
        page = await users.list_users(page_size=20, page_token=token).page()  # for a web page

    Raises TokenServiceError while it is read. What is added or removed meanwhile may be missing
    or there.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[Page[Item]]], page_token: str) -> None:
        self._fetch = fetch
        self._page_token = page_token

    async def page(self) -> Page[Item]:
        """Fetch one page: the first, or the one that the list call's ``page_token`` names."""
        return await self._fetch(self._page_token)

    def after(self, page: Page[Item]) -> Listing[Item] | None:
        """Give the rest of the list behind a page, None behind the last one."""
        return Listing(self._fetch, page.next_page_token) if page.next_page_token else None

    async def pages(self) -> AsyncGenerator[Page[Item], None]:
        """Fetch this page and all that follow."""
        rest: Listing[Item] | None = self
        while rest is not None:
            page = await rest.page()
            yield page
            rest = rest.after(page)

    async def __aiter__(self) -> AsyncGenerator[Item, None]:
        rest: Listing[Item] | None = self
        while rest is not None:
            page = await rest.page()
            for item in page.items:
                yield item
            rest = rest.after(page)
