"""The service's clock as its tokens tell it, for machines whose own clock is wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tokenservice.core import AnchoredClock, MalformedToken, parse_opaque, unpack_access
from tokenservice.core.tokens.encoding import decode_base64url
from tokenservice.core.tokens.opaque import PREFIX
from tokenservice.core.tokens.strict_json import parse_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenservice._values import TokenSet


class ServerTime:
    """Unix seconds: of the local wall clock, until a fresh token has told the server's."""

    def __init__(
        self, wall: Callable[[], float] = time.time, anchor: AnchoredClock | None = None
    ) -> None:
        self._wall = wall
        self._anchor = anchor or AnchoredClock()

    def now(self) -> float:
        """Give the server's time, within a second or so."""
        return self._anchor.now() if self._anchor.anchored else self._wall()

    def local(self) -> float:
        """Read the local clock that runs on, as is due before a call."""
        return self._anchor.boot()

    def learn(self, tokens: TokenSet, sent_at: float) -> None:
        """Learn from tokens that were just received, for a request sent at ``sent_at``.

        Not from replayed ones: some are as old as the exchange that they repeat.
        """
        if tokens.replayed:
            return
        for access in tokens.access_tokens:
            issued_at = _issued_at(access.token)
            if issued_at is not None:
                # Tokens have whole seconds.
                self._anchor.anchor(issued_at + 0.5, sent_at, self._anchor.boot())
                return


def _issued_at(token: str) -> int | None:
    """What the token says, unchecked: it came from the service itself."""
    try:
        if token.startswith(PREFIX):
            return unpack_access(parse_opaque(token).payload).issued_at
        claims = parse_object(decode_base64url(token.split(".")[1]))
    except (MalformedToken, IndexError):
        return None
    issued_at = claims.get("iat")
    return issued_at if isinstance(issued_at, int) else None
