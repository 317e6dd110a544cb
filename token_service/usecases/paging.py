"""Pages of what is small enough to be read as a whole."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Callable, Sequence
from typing import TypeVar

from token_service.domain.errors import invalid_field

Item = TypeVar("Item")


def page_of(
    items: Sequence[Item], name: Callable[[Item], str], page_size: int, page_token: str
) -> tuple[tuple[Item, ...], str]:
    """At most `page_size` of `items` (sorted by `name`) after the page whose token is given, and
    the next page's token ("" on the last). A page token names the last item before it, so that
    what comes and goes meanwhile shifts nothing. Raises FIELD_INVALID for a token of nobody's."""
    after = _read(page_token) if page_token else None
    rest = [item for item in items if after is None or name(item) > after]
    page = tuple(rest[:page_size])
    more = len(rest) > len(page)
    return page, _write(name(page[-1])) if more and page else ""


def _write(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _read(page_token: str) -> str:
    try:
        padded = page_token + "=" * (-len(page_token) % 4)
        name = urlsafe_b64decode(padded.encode("ascii")).decode()
    except (Error, UnicodeError):
        name = ""
    if not name or _write(name) != page_token:
        raise invalid_field("page_token", "is not a page token of this list")
    return name
