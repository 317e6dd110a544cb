"""What this gateway keeps of each browser: nothing of it ever reaches the browser.

In memory, since the example is one process. Several would keep it in a store that they share.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from tokenservice import random_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenservice import PairingDirection, PairingKey

    from .roles import Role

IDLE_SECONDS: Final = 3600.0
MOST_VISITS: Final = 10_000


@dataclass(frozen=True, slots=True)
class OpenPairing:
    """A pairing that this browser takes part in; its key holds the watch or the scan secret."""

    key: PairingKey
    direction: PairingDirection


class NoticeKind(Enum):
    """How a notice looks, and how much it interrupts. The value is in pages."""

    DONE = "done"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Notice:
    """What a page says first. ``field`` is the id of the field that it is about, "" for none."""

    text: str
    kind: NoticeKind = NoticeKind.ERROR
    field: str = ""


@dataclass(slots=True)
class Visit:
    """One browser. ``notice`` is what its next page says first."""

    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    notice: Notice | None = None
    session_ids: dict[Role, str] = field(default_factory=dict)
    pairings: dict[Role, OpenPairing] = field(default_factory=dict)
    _scans: dict[str, bytes] = field(default_factory=dict, repr=False)

    def csrf_matches(self, presented: str) -> bool:
        """Whether a form came from one of our pages in this browser."""
        return hmac.compare_digest(self.csrf.encode(), presented.encode())

    def take_notice(self) -> Notice | None:
        """Give the notice, once."""
        notice, self.notice = self.notice, None
        return notice

    def scan_id(self, code: str) -> bytes:
        """Give the id with which this browser scans a code: the same one whenever it tries again,
        or the service would take it for another phone.
        """
        if code not in self._scans:
            self._scans.clear()
            self._scans[code] = random_id()
        return self._scans[code]


class Visits:
    """Visits by their cookie. The longest unused go when there are too many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._visits: OrderedDict[bytes, tuple[float, Visit]] = OrderedDict()

    def find(self, cookie: str) -> Visit | None:
        """Give the visit of a cookie, unless it has been idle for an hour."""
        key = _key(cookie)
        found = self._visits.pop(key, None)
        now = self._clock()
        if found is None or now - found[0] > IDLE_SECONDS:
            return None
        self._visits[key] = (now, found[1])
        return found[1]

    def open(self, visit: Visit) -> str:
        """Keep a visit, and give the cookie for it."""
        cookie = secrets.token_urlsafe(32)
        self._visits[_key(cookie)] = (self._clock(), visit)
        while len(self._visits) > MOST_VISITS:
            self._visits.popitem(last=False)
        return cookie

    def close(self, cookie: str) -> None:
        """Forget a cookie."""
        self._visits.pop(_key(cookie), None)


def _key(cookie: str) -> bytes:
    # Looked up by its hash: how long the look-up takes tells nothing about the cookie.
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
