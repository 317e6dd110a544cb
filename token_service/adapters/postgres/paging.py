"""Page tokens of lists that are ordered by one text: the last text of the page before."""

import base64
import binascii

from token_service.domain.errors import invalid_field

_MAX_TOKEN = 1024


def token_after(last: str) -> str:
    """The token of the page after the one that ends with `last`."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def start_of(page_token: str) -> str:
    """The text after which the page starts; empty for the first one. Raises FIELD_INVALID."""
    refusal = invalid_field("page_token", "not a page token of this list")
    if len(page_token) > _MAX_TOKEN:
        raise refusal
    try:
        last = base64.b64decode(page_token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise refusal from None
    if "\0" in last:
        raise refusal
    return last
