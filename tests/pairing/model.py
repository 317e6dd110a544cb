"""A pairing as the documentation tells it, without stores, secrets or servers."""

from dataclasses import dataclass, field

MINUTE = 60.0
CODES = 5


class Refused(Exception):  # noqa: N818 - an answer
    """The reason of a refusal."""


@dataclass
class Model:
    """One pairing. Times are in seconds; codes are called by their number, scans and exchange ids
    by any name."""

    direction: str
    direct: bool
    started: float
    logged_in: float
    state: str = "PENDING"
    ends: float = 0.0
    scan: str = ""
    wrong: int = 0
    end_reason: str = "UNSPECIFIED"
    dead: bool = False
    """The approving person was disabled."""
    forgotten: bool = False
    tombstones: dict[int, float] = field(default_factory=dict)
    collected: tuple[str, float] = ("", 0.0)
    kept: bool = False
    """Known to more than Redis."""

    def __post_init__(self) -> None:
        self.ends = self.started + 5 * MINUTE

    # --- looking ---

    def state_at(self, now: float) -> str:
        live = self.state in {"PENDING", "SCANNED", "APPROVED"}
        return "EXPIRED" if live and now >= self.ends else self.state

    def shown(self, now: float) -> int:
        """The number of the code on the screen."""
        return min(int((now - self.started) // MINUTE), CODES - 1)

    def look(self, now: float) -> str:
        self._require_there()
        return self.state_at(now)

    # --- steps ---

    def scanned(self, code: int, scan: str, now: float) -> str:
        """A code was scanned; the state after."""
        shown_at = self.started + code * MINUTE
        alive = shown_at <= now < shown_at + 2 * MINUTE
        if self.kept and not (code in self.tombstones and now < self.tombstones[code]):
            if not (alive and not self.forgotten and now < self.started + 5 * MINUTE):
                raise Refused("PAIRING_STATE")
        elif not self.kept and (self.forgotten or not alive or now >= self.ends):
            raise Refused("PAIRING_STATE")
        if self.direction == "map":
            self._require_session(now)
        state = self.state_at(now)
        if state == "PENDING":
            self.tombstones = {
                number: self.started + (number + 2) * MINUTE
                for number in range(CODES)
                if 0 <= now - self.started - number * MINUTE < 2 * MINUTE
            }
            self.scan, self.kept = scan, True
            return self._go("APPROVED" if self.direct else "SCANNED", now)
        if scan == self.scan and state in {"SCANNED", "APPROVED", "COMPLETED"}:
            return state
        if scan != self.scan and (
            state in {"SCANNED", "APPROVED"} or (state == "COMPLETED" and self.direct)
        ):
            self._go("CANCELLED", now)
            self.end_reason = "SECOND_SCAN"
        raise Refused("PAIRING_STATE")

    def approved(self, right: bool, now: float) -> str:
        self._require_there()
        self._require_session(now)
        if now - self.logged_in > 10 * MINUTE:
            raise Refused("STEP_UP_REQUIRED")
        state = self.state_at(now)
        if state in {"APPROVED", "COMPLETED"} and not self.direct:
            if not right:
                raise Refused("CHECK_NUMBER_WRONG")
            return state
        if state != "SCANNED":
            raise Refused("PAIRING_STATE")
        if right:
            return self._go("APPROVED", now)
        self.wrong += 1
        if self.wrong == 2:
            self._go("CANCELLED", now)
            self.end_reason = "CHECK_NUMBER"
        raise Refused("CHECK_NUMBER_WRONG")

    def ended(self, how: str, side: str, now: float) -> str:
        self._require_there()
        state = self.state_at(now)
        if state == how:
            return how
        if state not in {"PENDING", "SCANNED", "APPROVED"}:
            raise Refused("PAIRING_STATE")
        self.kept, self.end_reason = True, side
        return self._go(how, now)

    def collect(self, exchange_id: str, now: float) -> bool:
        """Whether it is a replay."""
        self._require_there()
        state = self.state_at(now)
        if state == "COMPLETED":
            asked, at = self.collected
            window = 10 * MINUTE if self.direction == "map" else 24 * 60 * MINUTE
            if exchange_id and asked == exchange_id and now < at + window:
                if self.dead:
                    raise Refused("TOKEN_REVOKED")
                return True
        elif state == "APPROVED" and not self.dead and not self._idle(now):
            self._go("COMPLETED", now)
            self.collected = (exchange_id, now)
            return False
        raise Refused("PAIRING_STATE")

    # --- in common ---

    def _go(self, state: str, now: float) -> str:
        self.state, self.ends = state, now + 5 * MINUTE
        return state

    def _require_there(self) -> None:
        if self.forgotten and not self.kept:
            raise Refused("PAIRING_NOT_FOUND")

    def _require_session(self, now: float) -> None:
        if self.dead:
            raise Refused("TOKEN_REVOKED")
        if self._idle(now):
            raise Refused("TOKEN_EXPIRED")

    def _idle(self, now: float) -> bool:
        return self.direction == "pam" and now >= self.logged_in + 30 * MINUTE
