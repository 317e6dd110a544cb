"""What shows that an entry of Redis was written by a node of ours."""

import hashlib
import hmac
from collections.abc import Sequence

_MAC_BYTES = 32
_MIN_KEY_BYTES = 32


class EntrySeals:
    """HMAC-SHA256 in front of an entry's body.

    `keys` (32 bytes or more each) are the configured secrets' own: entries are sealed under the
    first, and opened under any. So nodes read each other's while a new secret moves to the front.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) < _MIN_KEY_BYTES for key in keys):
            raise ValueError(f"each key of cached entries needs {_MIN_KEY_BYTES} bytes")
        self._keys = tuple(keys)

    def seal(self, binding: bytes, body: bytes) -> bytes:
        """The entry. `binding` names what it is for, and is not part of it."""
        return _mac(self._keys[0], binding, body) + body

    def open(self, binding: bytes, entry: bytes) -> bytes | None:
        """The body; None for an entry that is not ours, or for something else."""
        mac, body = entry[:_MAC_BYTES], entry[_MAC_BYTES:]
        if any(hmac.compare_digest(mac, _mac(key, binding, body)) for key in self._keys):
            return body
        return None


def _mac(key: bytes, binding: bytes, body: bytes) -> bytes:
    return hmac.digest(key, binding + body, hashlib.sha256)
