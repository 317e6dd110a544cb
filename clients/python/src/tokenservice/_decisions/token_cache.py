"""What a validator remembers of tokens: identity facts by the token's hash, never a verdict.

Authentic tokens and refusals are kept apart, so that forged ones by the million take no room
from good ones. Any number of threads may read while others write.
"""

from __future__ import annotations

from collections import deque
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Final

from tokenservice._decisions.decision import Decision, Principal, decided_here
from tokenservice.core import Verdict
from tokenservice.core.bounded_cache import put_bounded

if TYPE_CHECKING:
    from tokenservice.core import Facts, Requirement

ENTRY_BYTES: Final = 1_150
"""What a token costs besides the texts of its own, in bytes: measured, on 64 bits."""

_SCAN: Final = 64
"""So many tokens in use are passed over before one of them has to go."""


class CachedToken:
    """An authentic token. Times are readings of the clock since boot, in seconds.

    ``until`` is how long the facts may be kept: for ever if the signature was checked here.
    ``look_at`` is when something besides the verdict is due at the next use. ``allowed`` is the
    last ACTIVE answer, to be given again for as long as it would be the same. ``bound_maybe``
    says that ``facts.confirmation`` is the one that the server was asked with, which the token
    need not be bound to.
    """

    __slots__ = (
        "_principal",
        "allowed",
        "bound_maybe",
        "facts",
        "look_at",
        "size",
        "until",
        "used",
    )

    def __init__(self, facts: Facts, until: float = inf, *, bound_maybe: bool = False) -> None:
        self.facts = facts
        self.until = until
        self.look_at = -inf
        self.allowed: Decision | None = None
        self._principal: Principal | None = None
        self.bound_maybe = bound_maybe
        self.used = False
        self.size = (
            ENTRY_BYTES
            + len(facts.subject)
            + len(facts.session_id)
            + len(facts.device_id)
            + len(facts.token_id)
        )

    def allow(self, revision: int) -> Decision:
        """Keep and give the ACTIVE answer as of a revision."""
        self.allowed = decided_here(Verdict.ACTIVE, 200, "", self.principal(), revision)
        return self.allowed

    def principal(self) -> Principal:
        """Give what the token says; made once."""
        principal = self._principal
        if principal is None:
            principal = self._principal = Principal.of(self.facts)
        return principal


class TokenCache:
    """At most ``max_entries`` tokens and about ``max_bytes`` bytes.

    When full, the oldest that was not used since it was last considered goes (second chance):
    who obtains tokens by the thousand and uses each once does not displace those in use.
    """

    def __init__(self, max_entries: int = 100_000, max_bytes: int = 150_000_000) -> None:
        """Raise ValueError for a limit below 1."""
        if max_entries < 1 or max_bytes < 1:
            raise ValueError("the limits of a cache are at least 1")
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: dict[bytes, CachedToken] = {}
        self._ring: deque[bytes] = deque()
        self._lock = Lock()
        self.bytes = 0
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, digest: bytes, entry: CachedToken, now: float) -> None:
        """Remember an authentic token; ``now`` is in Unix seconds, to tell dead ones."""
        with self._lock:
            former = self._entries.get(digest)
            if former is None:
                self._ring.append(digest)
            else:
                self.bytes -= former.size
            self._entries[digest] = entry
            self.bytes += entry.size
            while len(self._entries) > self._max_entries or self.bytes > self._max_bytes:
                self._evict(now)

    def sweep(self, now: float, at_most: int) -> int:
        """Drop the expired among the next ``at_most`` tokens; returns how many."""
        dropped = 0
        with self._lock:
            for _ in range(min(at_most, len(self._ring))):
                digest = self._ring.popleft()
                if self._entries[digest].facts.expires_at <= now:
                    self._drop(digest)
                    dropped += 1
                else:
                    self._ring.append(digest)
        return dropped

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._ring.clear()
            self.bytes = 0

    def _evict(self, now: float) -> None:
        for _ in range(_SCAN):
            digest = self._ring.popleft()
            entry = self._entries[digest]
            if not entry.used or entry.facts.expires_at <= now:
                self._drop(digest)
                return
            entry.used = False
            self._ring.append(digest)
        self._drop(self._ring.popleft())

    def _drop(self, digest: bytes) -> None:
        self.bytes -= self._entries.pop(digest).size


class RefusalCache:
    """Refusals of the last moments, so that who tries again and again costs little.

    A refusal holds for one requirement, or for all (None) when it is about the token alone, and
    says nothing about a revision above its own. When full it starts over: junk can only make it
    useless, not large.
    """

    def __init__(self, max_entries: int = 4096) -> None:
        self._max_entries = max_entries
        self._entries: dict[bytes, tuple[Verdict, Requirement | None, int, float]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(
        self, digest: bytes, requirement: Requirement, min_revision: int, boot: float
    ) -> tuple[Verdict, int] | None:
        """The verdict and its revision; ``boot`` is the clock's reading now."""
        found = self._entries.get(digest)
        if found is None:
            return None
        verdict, demanded, revision, until = found
        if boot >= until or revision < min_revision:
            return None
        if demanded is not None and demanded is not requirement and demanded != requirement:
            return None
        return verdict, revision

    def put(
        self,
        digest: bytes,
        verdict: Verdict,
        requirement: Requirement | None,
        revision: int,
        until: float,
    ) -> None:
        """Remember a refusal until the clock reads ``until``."""
        refusal = (verdict, requirement, revision, until)
        put_bounded(self._entries, digest, refusal, self._max_entries)

    def clear(self) -> None:
        """Forget everything: keys have changed, and what was unknown may be known."""
        self._entries = {}
