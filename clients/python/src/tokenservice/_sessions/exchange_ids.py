"""Where the id of an exchange comes from: calls that repeat it are one exchange.

See :class:`DerivedExchangeId` for why, and for what that means for a stolen cookie.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol, TypeAlias, runtime_checkable

from tokenservice.core.limits import EXCHANGE_ID_LENGTH

MIN_KEY_LENGTH: Final = 32

REPLAY_WITHIN: Final = timedelta(seconds=60)
"""The time within which a gateway's parallel requests have the same successor, where the id is not
one that the caller gives. The server's own window for the client may be shorter."""

ExchangeIds: TypeAlias = Callable[[str], bytes]
"""Gives the id, 16 bytes, with which a token is exchanged."""


@runtime_checkable
class KeySource(Protocol):
    """Credentials that keys can be derived from, such as a client secret."""

    def derive_key(self, purpose: str) -> bytes:
        """Give the 32 bytes for ``purpose``; those for another one tell nothing about them."""
        ...


def random_exchange_id(token: str) -> bytes:  # noqa: ARG001 - it depends on nothing
    """Draw an id: only retries within one call to ``exchange`` repeat it."""
    return secrets.token_bytes(EXCHANGE_ID_LENGTH)


class DerivedExchangeId:
    """HMAC-SHA256 of the token, cut to 16 bytes. ``key`` is the gateway's own secret, 32 bytes
    at least; a gateway that changes it only loses the replays that are under way.

    All requests that a browser sends at the same time carry the same session cookie. On all
    workers and hosts of a gateway they have to be one exchange, or the second would count as a
    stolen token and end the session. So a client that calls with a
    :class:`~tokenservice.ClientSecret` derives the id from the token, under a key that is
    derived from the secret (HKDF-SHA256, RFC 5869): nothing needs to be configured. A client
    that calls otherwise configures a key, the same everywhere::

        client = TokenClient(connection, exchange_ids=DerivedExchangeId(key))

    Without one its ids are random, and every exchange but its own retries counts by itself. A
    gateway whose client secret is replaced on one host after the other does better with a key
    of its own, too: between hosts that have different secrets, parallel requests do not
    converge.

    **What a stolen cookie can do.** A derived id proves that the gateway asks, and not which
    browser asked it. Whoever presents a copied cookie within 60 seconds of
    its exchange, the thief after the owner or the owner after the thief, gets the same
    successor, and access tokens. The two then share the session, until one of them presents a
    token that was exchanged longer ago than that: it is reuse, and both are signed out. A thief
    who comes later than 60 seconds gets nothing, and is noticed at once.
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


def usual_exchange_ids(credentials: object) -> ExchangeIds:
    """Give what exchanges by these credentials use: ids derived under a key of the client's
    secret, and random ones where there is no secret."""
    if not isinstance(credentials, KeySource):
        return random_exchange_id
    source = credentials

    def derived(token: str) -> bytes:
        # From the key of now: a secret in a file is renewed, and the other hosts follow it too.
        return DerivedExchangeId(source.derive_key("exchange id"))(token)

    return derived
