"""Key ids that a fresh view of the trust log does not have: the server may know them already.

Keys are published long before they sign, so as a rule such a token is junk. All the same the
server is asked once, for a feed may be late. Whoever makes up key ids by the million costs no more
than one question a second.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

from tokenservice._decisions.authentication import named_key

if TYPE_CHECKING:
    from tokenservice.core import TrustState

PER_SECOND: Final = 1.0
BURST: Final = 8.0
"""So many at once, where nothing was asked for a while."""
ANSWERED_SECONDS: Final = 5.0
"""How long an answer holds: then the server may be asked again, or the feed has brought the key."""
UNANSWERED_SECONDS: Final = 2.0
"""How long a question may take; by then it counts as never asked."""


class UnknownKeys:
    """Which key ids are asked about, were found to be unknown, or are known to the server alone.

    Readings of the clock are in seconds. Any number of threads may use it. It holds no more than
    what was asked in the last seconds.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._left = BURST
        self._filled_at = 0.0
        self._asking: dict[str, float] = {}
        self._answers: dict[str, tuple[float, bool]] = {}

    def asked_by(self, token: str, trust: TrustState) -> str:
        """The key that a token names and that may be asked about at this moment; or ""."""
        kid = named_key(token, trust.issuer) if self._asking else ""
        return kid if kid in self._asking and kid not in trust.view.verifiable else ""

    def ask_about(self, kid: str, now: float) -> bool:
        """Whether the server is to be asked about a token that names this key."""
        with self._lock:
            answer = self._answers.get(kid)
            if answer is not None and now < answer[0]:
                return answer[1]
            if now < self._asking.get(kid, 0.0):
                return True
            self._left = min(BURST, self._left + (now - self._filled_at) * PER_SECOND)
            self._filled_at = now
            if self._left < 1.0:
                return False
            self._left -= 1.0
            self._asking = {one: end for one, end in self._asking.items() if now < end}
            self._answers = {one: told for one, told in self._answers.items() if now < told[0]}
            self._asking[kid] = now + UNANSWERED_SECONDS
            return True

    def answered(self, kid: str, now: float, *, known: bool | None) -> None:
        """Take note of what the server said of the key; None: it did not say."""
        with self._lock:
            if self._asking.pop(kid, None) is not None and known is not None:
                self._answers[kid] = (now + ANSWERED_SECONDS, known)

    def clear(self) -> None:
        """Forget the answers: the keys have changed."""
        with self._lock:
            self._answers.clear()
