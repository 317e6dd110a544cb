"""Where the id of an exchange comes from: retries that repeat it get the same successor.

A process that keeps a session for itself draws a random one for each exchange. A gateway whose
one browser sends several requests at once, each with the same session cookie, derives it::

    client = TokenClient(connection, exchange_ids=DerivedExchangeId(key))

All of those requests, on all workers and hosts with the same key, then get one successor, where
with random ids the second would count as a stolen token and end the session.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Final, TypeAlias

EXCHANGE_ID_LENGTH: Final = 16
MIN_KEY_LENGTH: Final = 32

ExchangeIds: TypeAlias = Callable[[str], bytes]
"""Gives the id, 16 bytes, with which a token is exchanged."""


def random_exchange_id(token: str) -> bytes:  # noqa: ARG001 - it depends on nothing
    """Draw an id: only retries within one call to ``exchange`` repeat it."""
    return secrets.token_bytes(EXCHANGE_ID_LENGTH)


class DerivedExchangeId:
    """HMAC-SHA256 of the token, cut to 16 bytes. ``key`` is the gateway's own secret, 32 bytes
    at least; a gateway that changes it only loses the replays that are under way.

    Whoever steals the token does not know the key, so that its theft is still noticed. Where a
    browser's requests ask for different audiences or scopes, they are different exchanges and
    must not share a session token.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY_LENGTH:
            raise ValueError(f"the key must have {MIN_KEY_LENGTH} bytes at least")
        self._key = key

    def __repr__(self) -> str:
        return "DerivedExchangeId()"

    def __call__(self, token: str) -> bytes:
        """Derive the id for a token."""
        digest = hmac.digest(self._key, token.encode("utf-8", "surrogatepass"), "sha256")
        return digest[:EXCHANGE_ID_LENGTH]
