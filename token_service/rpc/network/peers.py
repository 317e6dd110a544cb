"""What is known of the other side of each connection: it may be a client, or only cost."""

import asyncio
from collections.abc import Callable, Collection

from token_service.domain.errors import TokenServiceError
from token_service.rpc.capacity import RateLimiter
from token_service.rpc.policy_table import Rate

ABANDONED = Rate(64, 200)
ABANDONED_BY_STRANGERS = Rate(8, 20)
"""How many calls one connection may give up before their requests were read, once a client has
called over it and before. A flood of resets is thousands a second; an honest client changes its
mind that early now and then."""
REFUSED = Rate(64, 200)
"""How many calls of one connection may be refused before anything was done (no such method, no
credentials, too many calls) before a client has called over it."""
REMEMBERED = 10.0
"""For so many seconds after a connection ended, calls of it may still come up."""


class Peers:
    """The other sides of connections, by the names that the library has for them, such as
    `ipv4:192.0.2.7:4711`: one name is one connection. Callers at a Unix socket have one name
    together, so nothing is held against it.

    While nobody is `watching`, who would end connections, nothing is kept."""

    __slots__ = (
        "_by_clients",
        "_by_strangers",
        "_clock",
        "_condemned",
        "_known",
        "_missing",
        "_refused",
        "condemning",
        "watching",
    )

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives monotonic seconds."""
        self._clock = clock
        self._by_clients = RateLimiter(ABANDONED, clock)
        self._by_strangers = RateLimiter(ABANDONED_BY_STRANGERS, clock)
        self._refused = RateLimiter(REFUSED, clock)
        self.condemning = asyncio.Event()
        self.watching = False
        self.forget()

    def forget(self) -> None:
        """Forget all of them."""
        self.condemning.clear()
        self._known: set[str] = set()
        self._missing: set[str] = set()
        self._condemned: dict[str, float] = {}

    def recognise(self, peer: str) -> None:
        """A client has called over this connection, with credentials that hold."""
        if self.watching:
            self._known.add(peer)

    def knows(self, peer: str) -> bool:
        """Whether a client has."""
        return peer in self._known

    def abandoned(self, peer: str) -> None:
        """Count a call that was given up before its request was read; too many, and the connection
        ends."""
        self._count(peer, self._by_clients if peer in self._known else self._by_strangers)

    def refused(self, peer: str) -> None:
        """Count a call that was refused before anything was done; too many, and a connection that
        no client has called over ends."""
        if peer not in self._known:
            self._count(peer, self._refused)

    def _count(self, peer: str, limiter: RateLimiter) -> None:
        if not self.watching:
            return
        try:
            limiter.take(peer)
        except TokenServiceError:
            self._condemned[peer] = self._clock()
            self.condemning.set()

    def condemned(self, peer: str) -> bool:
        """Whether the connection has to end, or did: what still comes from it is not answered."""
        return peer in self._condemned

    def keep(self, peers: Collection[str]) -> None:
        """Forget who is connected no more: it was missing the time before, too, so that nobody
        is who came while the connections were being looked at."""
        self.condemning.clear()
        missing = self._known.difference(peers)
        self._known -= missing & self._missing
        self._missing = missing
        before = self._clock() - REMEMBERED
        self._condemned = {
            peer: at for peer, at in self._condemned.items() if at > before or peer in peers
        }
