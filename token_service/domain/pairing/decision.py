"""Pairing: what may become of one, decided without any store.

PENDING → SCANNED → APPROVED → COMPLETED; or DENIED, EXPIRED, CANCELLED.
"""

from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from token_service.domain.addresses import counted_network
from token_service.domain.errors import Reason
from token_service.domain.kinds import (
    Amr,
    PairingDirection,
    PairingEndReason,
    PairingState,
    Platform,
)
from token_service.domain.sessions.session import UNKNOWN_DEVICE, Device

UNSCANNED_LIFE = timedelta(minutes=5)
DECISION_TIME = timedelta(minutes=5)
"""From the scan to the approval."""
COLLECTION_TIME = timedelta(minutes=5)
"""From the approval to the collection."""
LONGEST_LIFE = UNSCANNED_LIFE + DECISION_TIME + COLLECTION_TIME
MAX_WRONG_NUMBERS = 2

LIVE = frozenset({PairingState.PENDING, PairingState.SCANNED, PairingState.APPROVED})
"""States that end by themselves; the others are final."""

PLATFORM_OF_CHILD = {
    PairingDirection.PAM: Platform.MOBILE,
    PairingDirection.MAP: Platform.WEB,
}


class Side(Enum):
    """The two ends of a pairing, each with a secret of its own."""

    STARTER = auto()
    """Shows the code; holds the watch secret."""
    SCANNER = auto()
    """Read the code; holds the scan secret."""


class Step(Enum):
    """What can be asked of a pairing."""

    SCAN = auto()
    APPROVE = auto()
    DENY = auto()
    CANCEL = auto()
    COLLECT = auto()


@dataclass(frozen=True, slots=True)
class Login:
    """How the approving session was logged in, for the new one to inherit."""

    auth_time: datetime
    acr: int
    amr: Amr


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """One pairing. `client_id` is whose session the child will be, fixed at the start.

    The secrets are here as keyed hashes under the pepper `pepper_id`. `ends_at` is when a live
    state ends by itself. `approver_session` is known from the start (PAM) or the scan (MAP) on,
    `login` from the approval on (under `direct` from the start on).
    """

    pairing_id: UUID
    direction: PairingDirection
    direct: bool
    client_id: str
    starter_client: str
    pepper_id: str
    watch_hash: bytes = field(repr=False)
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    starter: Device
    started_at: datetime
    state: PairingState
    ends_at: datetime
    approver_session: UUID | None = None
    login: Login | None = None
    scanner_client: str = ""
    scan_hash: bytes = field(default=b"", repr=False)
    scanner: Device = UNKNOWN_DEVICE
    scanned_at: datetime | None = None
    wrong_numbers: int = 0
    end_reason: PairingEndReason = PairingEndReason.UNSPECIFIED
    child_session: UUID | None = None
    code_hashes: tuple[bytes, ...] = field(default=(), repr=False)
    """Of all codes that it will ever show, in their order; while it is PENDING."""

    @property
    def approver(self) -> Side:
        """Which side is logged in and decides."""
        return Side.STARTER if self.direction is PairingDirection.PAM else Side.SCANNER

    @property
    def collector(self) -> Side:
        """Which side gets the session, and displays the check number."""
        return Side.SCANNER if self.direction is PairingDirection.PAM else Side.STARTER

    @property
    def platform(self) -> Platform:
        """The platform of the new session."""
        return PLATFORM_OF_CHILD[self.direction]

    @property
    def same_network(self) -> bool:
        """Whether both devices were reported at one address; False where one is unknown."""
        one, other = self.starter.ip_address, self.scanner.ip_address
        return bool(one and other) and counted_network(one) == counted_network(other)

    def at(self, now: datetime) -> "Pairing":
        """As it is at `now`: a live state that nobody ended in time has expired."""
        if self.state in LIVE and now >= self.ends_at:
            return replace(self, state=PairingState.EXPIRED)
        return self


@dataclass(frozen=True, slots=True)
class Event:
    """One step, asked by `side`, whose secret was right (a scan brings its own).

    `same_scan`: the scan that was seen before, again. `right_number`: the check number that was
    typed is the one displayed.
    """

    step: Step
    side: Side
    same_scan: bool = False
    right_number: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """The pairing goes on to `state`, which ends at `ends_at` by itself if it is a live one.

    `wrong_numbers` is the new count. `refusal`: the move is to be stored, and then the call
    refused. `revokes_child`: the session that came of the pairing goes with it. `end_reason` is
    who or what denied or cancelled.
    """

    state: PairingState
    ends_at: datetime
    wrong_numbers: int = 0
    _: KW_ONLY
    refusal: Reason | None = None
    revokes_child: bool = False
    end_reason: PairingEndReason = PairingEndReason.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Stay:
    """The same request again, or a state that it asks for: the same answer, nothing changes."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Not in this state, or not by this side. Nothing changes."""

    reason: Reason


PairingDecision = Move | Stay | Refuse

_BY = {Side.STARTER: PairingEndReason.STARTER, Side.SCANNER: PairingEndReason.SCANNER}
_TOO_LATE = Refuse(Reason.PAIRING_STATE)


def decide_pairing(pairing: Pairing, event: Event, now: datetime) -> PairingDecision:
    """What becomes of `pairing` when `event` reaches it at `now`."""
    current = pairing.at(now)
    match event.step:
        case Step.SCAN:
            return _scan(current, event, now)
        case Step.APPROVE:
            return _approve(current, event, now)
        case Step.DENY:
            return _end(current, event, PairingState.DENIED, now)
        case Step.CANCEL:
            return _end(current, event, PairingState.CANCELLED, now)
        case Step.COLLECT:
            return _collect(current, event, now)


def _scan(pairing: Pairing, event: Event, now: datetime) -> PairingDecision:
    state = pairing.state
    if state is PairingState.PENDING:
        if pairing.direct:
            return Move(PairingState.APPROVED, now + COLLECTION_TIME)
        return Move(PairingState.SCANNED, now + DECISION_TIME)
    scanned = state in (PairingState.SCANNED, PairingState.APPROVED)
    if event.same_scan:
        return Stay() if scanned or state is PairingState.COMPLETED else _TOO_LATE
    seen_too_late = state is PairingState.COMPLETED and pairing.direct
    if not scanned and not seen_too_late:
        return _TOO_LATE
    # Somebody else saw the code too, and nobody can say who of them was meant to.
    return Move(
        PairingState.CANCELLED,
        now,
        pairing.wrong_numbers,
        refusal=Reason.PAIRING_STATE,
        revokes_child=seen_too_late,
        end_reason=PairingEndReason.SECOND_SCAN,
    )


def _approve(pairing: Pairing, event: Event, now: datetime) -> PairingDecision:
    if event.side is not pairing.approver:
        return Refuse(Reason.PAIRING_NOT_FOUND)
    approved = pairing.state in (PairingState.APPROVED, PairingState.COMPLETED)
    if approved and not pairing.direct:
        return Stay() if event.right_number else Refuse(Reason.CHECK_NUMBER_WRONG)
    if pairing.state is not PairingState.SCANNED:
        return _TOO_LATE
    wrong = pairing.wrong_numbers
    if event.right_number:
        return Move(PairingState.APPROVED, now + COLLECTION_TIME, wrong)
    refusal = Reason.CHECK_NUMBER_WRONG
    if wrong + 1 < MAX_WRONG_NUMBERS:
        return Move(PairingState.SCANNED, pairing.ends_at, wrong + 1, refusal=refusal)
    return Move(
        PairingState.CANCELLED,
        now,
        wrong + 1,
        refusal=refusal,
        end_reason=PairingEndReason.CHECK_NUMBER,
    )


def _end(pairing: Pairing, event: Event, state: PairingState, now: datetime) -> PairingDecision:
    if pairing.state is state:
        return Stay()
    if pairing.state not in LIVE:
        return _TOO_LATE
    return Move(state, now, pairing.wrong_numbers, end_reason=_BY[event.side])


def _collect(pairing: Pairing, event: Event, now: datetime) -> PairingDecision:
    if event.side is not pairing.collector:
        return Refuse(Reason.PAIRING_NOT_FOUND)
    if pairing.state is PairingState.COMPLETED:
        return Stay()
    if pairing.state is not PairingState.APPROVED:
        return _TOO_LATE
    return Move(PairingState.COMPLETED, now, pairing.wrong_numbers)
