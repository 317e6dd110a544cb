"""How a pairing stands, as its page shows it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tokenservice import PairingDirection, PairingState, Side

if TYPE_CHECKING:
    from tokenservice import PairingStatus, Peer

    from .visits import OpenPairing

ROTATION_SECONDS: Final = 60.0
"""A new code comes this long before the one that is shown dies."""

_ENDED: Final = {
    PairingState.DENIED: "This was refused. Nobody was signed in.",
    PairingState.EXPIRED: "Nothing happened in time. Nobody was signed in.",
    PairingState.CANCELLED: "This was called off: by one of the devices, because the number was "
    "wrong twice, or because a second device scanned the code. Nobody was signed in.",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What one side's page says. ``check_number`` is for the side that displays it.

    ``qr`` changes with the code and tells nothing about it; ``seconds`` until the next code.
    """

    state: str
    sentence: str
    qr: str = ""
    seconds: int = 0
    check_number: str = field(repr=False, default="")
    peer_name: str = ""
    peer_agent: str = ""
    peer_address: str = ""
    network: str = ""
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
        left = status.shown.expires_at - ROTATION_SECONDS - now
        seconds = int(min(max(left, 0.0), ROTATION_SECONDS))
    return Standing(
        state=state.name.lower(),
        sentence=_ENDED.get(state) or _sentence(state, "phone" if starter else "PC", collects),
        qr=qr,
        seconds=seconds,
        check_number=status.check_number,
        decides=not collects and state is PairingState.SCANNED,
        collects=collects and state is PairingState.APPROVED,
        **_peer(status.peer),
    )


def _sentence(state: PairingState, other: str, collects: bool) -> str:
    match state:
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
        case _:
            return "Waiting…"


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
    }
