"""Caches with a bound on their entries: plain dicts, because nothing else is read as fast.

A class around a dict, or one derived from it, makes each lookup a third dearer, and these are in
the path of every request.
"""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def put_bounded(cache: dict[K, V], key: K, value: V, max_entries: int) -> None:
    """Put ``value`` into a cache of at most ``max_entries``; a new key evicts all from a full one.

    For values that are cheap to make again and as a rule are few. No order of use is kept, so
    junk makes a cache useless for a moment and never large. Where junk must not evict what is in
    use, this is not enough.
    """
    if len(cache) >= max_entries and key not in cache:
        cache.clear()
    cache[key] = value
