"""PairingService messages to requests of the use cases, and outcomes back."""

import re
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from token_service.domain.errors import invalid_field
from token_service.domain.kinds import PairingDirection, PairingState
from token_service.domain.pairing.decision import LIVE, Side
from token_service.domain.pairing.qr_codes import read_code
from token_service.domain.sessions.session import Device
from token_service.rpc.mapping import checks
from token_service.rpc.mapping.tokens import device, timestamp, token_set
from token_service.usecases.pairing.access import Proof
from token_service.usecases.pairing.collect import Collected, CollectRequest
from token_service.usecases.pairing.decide import ApproveRequest
from token_service.usecases.pairing.scan import Scanned, ScanRequest
from token_service.usecases.pairing.start import ShownCode, Started, StartRequest
from token_service.usecases.pairing.watch import Standing
from tokenservice.core.limits import EXCHANGE_ID_LENGTH
from tokenservice.v1 import pairing_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

MAX_CODE = 64
MAX_SECRET = 128

_CHECK_NUMBER = re.compile(r"[0-9]{2}")
_SIDES = {"watch_secret": Side.STARTER, "scan_secret": Side.SCANNER}

WithSecret = (
    pb.WatchPairingRequest
    | pb.GetPairingRequest
    | pb.ApprovePairingRequest
    | pb.DenyPairingRequest
    | pb.CancelPairingRequest
    | pb.CollectPairingRequest
)
Status = TypeVar("Status", pb.WatchPairingResponse, pb.GetPairingResponse)


def start_request(message: pb.StartPairingRequest) -> StartRequest:
    """Check and map a StartPairing."""
    direction = checks.member(message.direction, "direction", PairingDirection)
    token = message.session_token
    if direction is PairingDirection.PAM:
        checks.token(token, "session_token")
    elif token:
        raise invalid_field("session_token", "is for PAIRING_DIRECTION_PAM")
    return StartRequest(
        direction=direction,
        device=device(message.device),
        session_token=token,
        client_id=checks.client_id(message.client_id, "client_id", optional=True),
        audiences=checks.audiences(message.audiences, "audiences"),
        scopes=checks.scopes(message.scopes, "scopes"),
    )


def scan_request(message: pb.ScanPairingRequest) -> ScanRequest:
    """Check and map a ScanPairing."""
    code = read_code(message.code) if len(message.code) <= MAX_CODE else None
    if code is None:
        raise invalid_field("code", "must be a code of a pairing")
    token = message.session_token
    return ScanRequest(
        code=code,
        scan_id=_id_bytes(message.scan_id, "scan_id"),
        session_token=checks.token(token, "session_token") if token else "",
        device=device(message.device),
    )


def approve_request(message: pb.ApprovePairingRequest) -> ApproveRequest:
    """Check and map an ApprovePairing."""
    pairing_id, proof = of_side(message)
    if not _CHECK_NUMBER.fullmatch(message.check_number):
        raise invalid_field("check_number", "must be two digits")
    return ApproveRequest(
        pairing_id,
        proof,
        checks.token(message.session_token, "session_token"),
        message.check_number,
    )


def collect_request(message: pb.CollectPairingRequest) -> CollectRequest:
    """Check and map a CollectPairing."""
    pairing_id, proof = of_side(message)
    exchange_id = checks.exact_bytes(message.exchange_id, "exchange_id", EXCHANGE_ID_LENGTH)
    return CollectRequest(pairing_id, proof, exchange_id)


def of_side(message: WithSecret) -> tuple[UUID, Proof]:
    """Which pairing, and the proof of which side asks."""
    pairing_id = checks.uuid(message.pairing_id, "pairing_id")
    name = message.WhichOneof("secret")
    secret = str(getattr(message, name)) if name else ""
    if not name or not secret:
        raise invalid_field(name or "secret", "must be given")
    if len(secret) > MAX_SECRET:
        raise invalid_field(name, f"must have at most {MAX_SECRET} characters")
    return pairing_id, Proof(_SIDES[name], secret)


class PairingMessages:
    """Responses; `uri_prefix` is what QR codes begin with."""

    def __init__(self, uri_prefix: str) -> None:
        self._uri_prefix = uri_prefix

    def started(self, started: Started) -> pb.StartPairingResponse:
        """Map the outcome of a start."""
        return pb.StartPairingResponse(
            pairing_id=str(started.pairing.pairing_id),
            watch_secret=started.watch_secret,
            expires_at=timestamp(started.pairing.ends_at),
            **self._shown(started.shown),
        )

    def standing(self, standing: Standing, message: type[Status]) -> Status:
        """Map how a pairing stands, into the response of either call that tells it."""
        peer = standing.peer
        return message(
            state=checks.wire(standing.state),
            end_reason=checks.wire(standing.end_reason),
            check_number=standing.check_number,
            expires_at=_time(standing.ends_at),
            peer=_device(peer.device) if peer else None,
            peer_at=_time(peer.at) if peer else None,
            same_network=peer.same_network if peer else False,
            **(self._shown(standing.shown) if standing.shown else {}),
        )

    def _shown(self, shown: ShownCode) -> dict[str, Any]:
        return {
            "code": shown.code,
            "code_expires_at": timestamp(shown.expires_at),
            "qr_uri": f"{self._uri_prefix}{shown.direction.name.lower()}/{shown.code}",
        }


def scanned(outcome: Scanned) -> pb.ScanPairingResponse:
    """Map the outcome of a scan."""
    pairing = outcome.pairing
    return pb.ScanPairingResponse(
        pairing_id=str(pairing.pairing_id),
        scan_secret=outcome.scan_secret,
        peer=_device(pairing.starter),
        check_number=outcome.check_number,
        state=state_number(pairing.state),
        direction=checks.wire(pairing.direction),
        peer_at=timestamp(pairing.started_at),
        same_network=pairing.same_network,
        expires_at=timestamp(pairing.ends_at) if pairing.state in LIVE else None,
    )


def collected(outcome: Collected) -> pb.CollectPairingResponse:
    """Map the outcome of a collection."""
    return pb.CollectPairingResponse(tokens=token_set(outcome.tokens), replayed=outcome.replayed)


def state_number(state: PairingState) -> Any:  # noqa: ANN401 - as `checks.wire`
    """A state for a message."""
    return checks.wire(state)


def _device(value: Device) -> types.Device:
    return types.Device(
        device_id=value.device_id,
        name=value.name,
        user_agent=value.user_agent,
        ip_address=value.ip_address,
    )


def _time(moment: datetime | None) -> Timestamp | None:
    return timestamp(moment) if moment else None


def _id_bytes(value: bytes, name: str) -> bytes:
    if not value:
        raise invalid_field(name, f"must have exactly {EXCHANGE_ID_LENGTH} bytes")
    return checks.exact_bytes(value, name, EXCHANGE_ID_LENGTH)
