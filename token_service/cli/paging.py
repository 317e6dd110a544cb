"""Lists that the service hands out page by page."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def all_pages(page: Callable[[str], tuple[Sequence[Item], str]]) -> list[Item]:
    """Collect everything; `page` gets a page token and returns items and the next token."""
    first, token = page("")
    items = list(first)
    while token:
        more, token = page(token)
        items += more
    return items
