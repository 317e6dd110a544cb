"""How a pairing stands, as its page shows it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tokenservice import PairingDirection, PairingEndReason, PairingState, Side

if TYPE_CHECKING:
    from tokenservice import PairingStatus, Peer

    from .visits import OpenPairing

ROTATION_SECONDS: Final = 60.0
"""A new code comes this long before the one that is shown dies."""

_NOBODY: Final = "Nobody was signed in."

_LABELS: Final = {
    PairingState.PENDING: "Waiting",
    PairingState.SCANNED: "Scanned",
    PairingState.APPROVED: "Approved",
    PairingState.COMPLETED: "Done",
    PairingState.DENIED: "Refused",
    PairingState.EXPIRED: "Expired",
    PairingState.CANCELLED: "Cancelled",
}
_SIDES: Final = {PairingEndReason.STARTER: Side.STARTER, PairingEndReason.SCANNER: Side.SCANNER}


@dataclass(frozen=True, slots=True)
class Standing:
    """What one side's page says. ``check_number`` is for the side that displays it.

    ``label`` is the state in a word; ``nearness`` is "same", "other" or "", of the networks.
    ``qr`` changes with the code and tells nothing about it; ``seconds`` until the next code.
    """

    state: str
    label: str
    sentence: str
    qr: str = ""
    seconds: int = 0
    check_number: str = field(repr=False, default="")
    peer_name: str = ""
    peer_agent: str = ""
    peer_address: str = ""
    network: str = ""
    nearness: str = ""
    decides: bool = False
    collects: bool = False

    def as_json(self) -> dict[str, Any]:
        """Give it for the page's script."""
        return asdict(self)


def standing_of(pairing: OpenPairing, status: PairingStatus, now: float) -> Standing:
    """Say how a pairing stands for the side that ``pairing`` is of; ``now`` in Unix seconds."""
    starter = pairing.key.side is Side.STARTER
    to_pc = pairing.direction is PairingDirection.MAP
    collects = starter == to_pc  # the PC in MAP, the phone in PAM
    state = status.state
    qr, seconds = "", 0
    if status.shown is not None:
        qr = hashlib.sha256(status.shown.code.encode()).hexdigest()[:16]
        left = status.shown.expires_at.timestamp() - ROTATION_SECONDS - now
        seconds = int(min(max(left, 0.0), ROTATION_SECONDS))
    return Standing(
        state=state.name.lower(),
        label=_LABELS.get(state, "Waiting"),
        sentence=_sentence(pairing, status, collects=collects),
        qr=qr,
        seconds=seconds,
        check_number=status.check_number,
        decides=not collects and state is PairingState.SCANNED,
        collects=collects and state is PairingState.APPROVED,
        **_peer(status.peer),
    )


def _sentence(pairing: OpenPairing, status: PairingStatus, *, collects: bool) -> str:
    other = "phone" if pairing.key.side is Side.STARTER else "PC"
    match status.state:
        case PairingState.PENDING:
            return "Waiting for a phone to scan the code."
        case PairingState.SCANNED if collects:
            return f"Now type this number on the {other}."
        case PairingState.SCANNED:
            return f"Is this your {other}, in front of you? Type the number that it shows."
        case PairingState.APPROVED if collects:
            return "Approved. Signing in…"
        case PairingState.APPROVED:
            return f"Approved. The {other} is being signed in…"
        case PairingState.COMPLETED:
            return "Done. This device is signed in." if collects else f"Done. The {other} is in."
        case PairingState.EXPIRED:
            return f"Nothing happened in time. {_NOBODY}"
        case PairingState.DENIED | PairingState.CANCELLED:
            return _ended(pairing, status, other)
        case _:
            return "Waiting…"


def _ended(pairing: OpenPairing, status: PairingStatus, other: str) -> str:
    """Say who or what ended it."""
    verb = "refused" if status.state is PairingState.DENIED else "cancelled"
    match status.end_reason:
        case PairingEndReason.CHECK_NUMBER:
            return f"The number was wrong twice. {_NOBODY}"
        case PairingEndReason.SECOND_SCAN:
            return (
                "A second device scanned the code: somebody else may have seen it. "
                "Nobody stays signed in by it."
            )
        case reason if reason not in _SIDES:
            return f"This was {verb}. {_NOBODY}"
        case reason if _SIDES[reason] is pairing.key.side:
            return f"You {verb} this. {_NOBODY}"
        case _:
            return f"This was {verb} on the {other}. {_NOBODY}"


def _peer(peer: Peer | None) -> dict[str, str]:
    if peer is None:
        return {}
    network = "The same network address as yours."
    if not peer.same_network:
        network = "Another network address than yours. Refuse unless you know why."
    return {
        "peer_name": peer.device.name or "A device without a name",
        "peer_agent": peer.device.user_agent,
        "peer_address": peer.device.ip_address or "unknown",
        "network": network,
        "nearness": "same" if peer.same_network else "other",
    }
