"""What pairings are made of. No repr shows a secret."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from tokenservice._values import Device

ID_LENGTH: Final = 16


class PairingDirection(IntEnum):
    """Which of two devices lets the other one in."""

    UNSPECIFIED = 0
    PAM = 1
    """The PC authorises the phone: it shows the code, the phone gets a session."""
    MAP = 2
    """The phone authorises the PC: the PC shows the code and gets a session."""


class PairingState(IntEnum):
    """Where a pairing is in its life."""

    UNSPECIFIED = 0
    PENDING = 1
    SCANNED = 2
    APPROVED = 3
    COMPLETED = 4
    DENIED = 5
    EXPIRED = 6
    CANCELLED = 7

    @property
    def final(self) -> bool:
        """Whether nothing comes after it."""
        return self >= PairingState.COMPLETED


class PairingEndReason(IntEnum):
    """Who or what ended a pairing that was denied or cancelled."""

    UNSPECIFIED = 0
    """It was neither, or a server of an earlier version did it."""
    STARTER = 1
    """The side that showed the code."""
    SCANNER = 2
    """The side that scanned it."""
    CHECK_NUMBER = 3
    """The check number was wrong twice."""
    SECOND_SCAN = 4
    """A second device scanned the code: a stranger saw it."""


class Side(Enum):
    """The two ends of a pairing."""

    STARTER = auto()
    """Shows the code."""
    SCANNER = auto()
    """Read the code."""


def random_id() -> bytes:
    """Draw the id of a scan or a collection, 16 bytes."""
    return secrets.token_bytes(ID_LENGTH)


@dataclass(frozen=True, slots=True)
class PairingKey:
    """Which side of which pairing this is: all that later calls need.

    A secret as a whole; it must not leave the process that may follow, decide and collect, and
    never reaches a browser. ``collect_id`` is the id of this side's collection: whoever keeps the
    key can ask again after a lost reply.
    """

    pairing_id: str
    side: Side
    secret: str = field(repr=False)
    collect_id: bytes = field(repr=False, default_factory=random_id)


@dataclass(frozen=True, slots=True)
class Peer:
    """The other device, as its own client saw it at ``seen_at``; show it to who decides.

    ``same_network`` is False also where one of the addresses is not known.
    """

    device: Device
    seen_at: datetime
    same_network: bool


@dataclass(frozen=True, slots=True)
class ShownCode:
    """A code to show, and the text for the QR code. It dies at ``expires_at``."""

    code: str = field(repr=False)
    qr_uri: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StartedPairing:
    """A pairing and its first code. Unless a code is scanned it ends at ``expires_at``."""

    key: PairingKey
    shown: ShownCode
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedPairing:
    """The pairing behind a scanned code.

    ``check_number`` is there for the side that displays it (PAM), "" otherwise; ``expires_at``
    is when this state ends by itself, None for a final one.
    """

    key: PairingKey
    direction: PairingDirection
    state: PairingState
    peer: Peer
    check_number: str = field(repr=False)
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingStatus:
    """How a pairing stands for one side.

    ``shown`` is there for the starter while PENDING, ``peer`` from SCANNED on, ``check_number``
    for the side that displays it from SCANNED on until the end. ``expires_at`` is when this state
    ends by itself, None for a final one; ``end_reason`` says who or what denied or cancelled.
    """

    state: PairingState
    shown: ShownCode | None = None
    peer: Peer | None = None
    check_number: str = field(repr=False, default="")
    expires_at: datetime | None = None
    end_reason: PairingEndReason = PairingEndReason.UNSPECIFIED
