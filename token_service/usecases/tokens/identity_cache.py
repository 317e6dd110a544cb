"""Identity facts of tokens seen before: what is cached is never a verdict."""

from hashlib import blake2b

from tokenservice.core import Facts


class Identified:
    """An authentic token's facts. `rendered` is the transport's own scratch: the encoded
    principal, so that a warm answer does not build it again."""

    __slots__ = ("facts", "rendered")

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.rendered: bytes | None = None


class IdentityCache:
    """At most `2 * half` tokens by hash, in two generations.

    A full young generation becomes the old one and the former old one is dropped: eviction costs
    nothing per lookup, and what is in use is carried over. Only authentic tokens get in, so junk
    cannot flush good ones.
    """

    def __init__(self, half: int = 25_000) -> None:
        self._half = half
        self._young: dict[bytes, Identified] = {}
        self._old: dict[bytes, Identified] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, token: str) -> Identified | None:
        """What is known of `token`."""
        key = _key(token)
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self._put(key, found)
        return found

    def put(self, token: str, facts: Facts) -> Identified:
        """Remember an authentic token."""
        entry = Identified(facts)
        self._put(_key(token), entry)
        return entry

    def _put(self, key: bytes, entry: Identified) -> None:
        if len(self._young) >= self._half:
            self._old = self._young
            self._young = {}
        self._young[key] = entry


def _key(token: str) -> bytes:
    return blake2b(token.encode(), digest_size=16).digest()
