"""Protobuf messages of PairingService to plain values and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from tokenservice import _messages as messages
from tokenservice._pairing.values import (
    PairingDirection,
    PairingEndReason,
    PairingKey,
    PairingState,
    PairingStatus,
    Peer,
    ScannedPairing,
    ShownCode,
    Side,
    StartedPairing,
)
from tokenservice._times import moment_of
from tokenservice._values import Device

if TYPE_CHECKING:
    from tokenservice.v1 import pairing_service_pb2 as pb
    from tokenservice.v1 import types_pb2 as types_pb

Status: TypeAlias = "pb.WatchPairingResponse | pb.GetPairingResponse"


def proof(key: PairingKey) -> dict[str, Any]:
    """Give the fields by which a request proves which side asks."""
    name = "watch_secret" if key.side is Side.STARTER else "scan_secret"
    return {"pairing_id": key.pairing_id, name: key.secret}


def started(reply: pb.StartPairingResponse) -> StartedPairing:
    """Read what a start gave."""
    return StartedPairing(
        key=PairingKey(reply.pairing_id, Side.STARTER, reply.watch_secret),
        shown=ShownCode(reply.code, reply.qr_uri, moment_of(reply.code_expires_at)),
        expires_at=moment_of(reply.expires_at),
    )


def scanned(reply: pb.ScanPairingResponse) -> ScannedPairing:
    """Read what a scan gave."""
    return ScannedPairing(
        key=PairingKey(reply.pairing_id, Side.SCANNER, reply.scan_secret),
        direction=messages.member(PairingDirection, reply.direction),
        state=messages.member(PairingState, reply.state),
        peer=Peer(_device(reply.peer), moment_of(reply.peer_at), reply.same_network),
        check_number=reply.check_number,
        expires_at=moment_of(reply.expires_at) if reply.HasField("expires_at") else None,
    )


def status(reply: Status) -> PairingStatus:
    """Read how a pairing stands."""
    shown, peer = None, None
    if reply.code:
        shown = ShownCode(reply.code, reply.qr_uri, moment_of(reply.code_expires_at))
    if reply.HasField("peer"):
        peer = Peer(_device(reply.peer), moment_of(reply.peer_at), reply.same_network)
    return PairingStatus(
        state=messages.member(PairingState, reply.state),
        shown=shown,
        peer=peer,
        check_number=reply.check_number,
        expires_at=moment_of(reply.expires_at) if reply.HasField("expires_at") else None,
        end_reason=messages.member(PairingEndReason, reply.end_reason),
    )


def _device(message: types_pb.Device) -> Device:
    return Device(message.device_id, message.name, message.user_agent, message.ip_address)
