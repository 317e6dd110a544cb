"""The two ends of pairings: a PC at demo-web and a phone at demo-mobile."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.api import Api
from tests.support.callers import Callers
from tokenservice.v1 import pairing_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

PC = types.Device(
    device_id="pc-1", name="Ana's PC", user_agent="Firefox/140", ip_address="198.51.100.7"
)
PHONE = types.Device(
    device_id="phone-1", name="Ana's phone", user_agent="Shop/3.1", ip_address="198.51.100.7"
)
FAR_PHONE = types.Device(device_id="phone-2", name="A phone", ip_address="203.0.113.9")

MAP, PAM = types.PAIRING_DIRECTION_MAP, types.PAIRING_DIRECTION_PAM


def state_name(number: types.PairingState.ValueType) -> str:
    """Without its prefix."""
    return types.PairingState.Name(number).removeprefix("PAIRING_STATE_")


def end_name(number: types.PairingEndReason.ValueType) -> str:
    """Without its prefix."""
    return types.PairingEndReason.Name(number).removeprefix("PAIRING_END_REASON_")


@dataclass
class Pair:
    """One pairing as both its sides know it. Secrets are by the name of their field."""

    pc: Api
    phone: Api
    direction: int
    started: pb.StartPairingResponse = field(repr=False)
    scan: pb.ScanPairingResponse | None = field(default=None, repr=False)

    @property
    def pairing_id(self) -> str:
        return self.started.pairing_id

    @property
    def starter(self) -> dict[str, Any]:
        return {"pairing_id": self.pairing_id, "watch_secret": self.started.watch_secret}

    @property
    def scanner(self) -> dict[str, Any]:
        assert self.scan is not None
        return {"pairing_id": self.pairing_id, "scan_secret": self.scan.scan_secret}

    @property
    def approving(self) -> tuple[Api, dict[str, Any]]:
        return (self.pc, self.starter) if self.direction == PAM else (self.phone, self.scanner)

    @property
    def collecting(self) -> tuple[Api, dict[str, Any]]:
        return (self.phone, self.scanner) if self.direction == PAM else (self.pc, self.starter)

    async def state(self, side: str = "starter") -> pb.GetPairingResponse:
        """Asked by one side."""
        api = self.pc if side == "starter" else self.phone
        proof = self.starter if side == "starter" else self.scanner
        return await api.pairings.GetPairing(
            pb.GetPairingRequest(**proof),
            metadata=api.metadata,
        )

    async def scanned(self, **request: Any) -> pb.ScanPairingResponse:
        """The phone reads the code that was shown first, unless another is given."""
        self.scan = await scan(self.phone, request.pop("code", self.started.code), **request)
        return self.scan

    async def number(self) -> str:
        """As the displaying side shows it."""
        if self.direction == PAM:
            assert self.scan is not None
            return self.scan.check_number
        return (await self.state()).check_number

    async def approve(self, token: str, number: str | None = None) -> pb.ApprovePairingResponse:
        """By the side that is logged in."""
        api, proof = self.approving
        request = pb.ApprovePairingRequest(
            session_token=token,
            check_number=await self.number() if number is None else number,
            **proof,
        )
        return await api.pairings.ApprovePairing(request, metadata=api.metadata)

    async def deny(self) -> pb.DenyPairingResponse:
        """By the side that is logged in."""
        api, proof = self.approving
        return await api.pairings.DenyPairing(
            pb.DenyPairingRequest(**proof),
            metadata=api.metadata,
        )

    async def cancel(self) -> pb.CancelPairingResponse:
        """By who started."""
        return await self.pc.pairings.CancelPairing(
            pb.CancelPairingRequest(**self.starter),
            metadata=self.pc.metadata,
        )

    async def collect(self, exchange_id: bytes = b"") -> pb.CollectPairingResponse:
        """By the side that gets the session."""
        api, proof = self.collecting
        request = pb.CollectPairingRequest(
            exchange_id=exchange_id,
            **proof,
        )
        return await api.pairings.CollectPairing(request, metadata=api.metadata)

    def watch(self, api: Api | None = None, side: str = "starter") -> Any:
        """The stream, on any server."""
        proof = self.starter if side == "starter" else self.scanner
        api = api or (self.pc if side == "starter" else self.phone)
        return api.pairings.WatchPairing(
            pb.WatchPairingRequest(**proof),
            metadata=api.metadata,
        )


async def start_map(callers: Callers, **request: Any) -> Pair:
    """An anonymous PC shows a code."""
    request.setdefault("device", PC)
    pc = callers.web
    started = await pc.pairings.StartPairing(
        pb.StartPairingRequest(direction=MAP, **request), metadata=pc.metadata
    )
    return Pair(pc, callers.client("mobile"), MAP, started)


async def start_pam(callers: Callers, token: str, **request: Any) -> Pair:
    """A PC that is logged in shows a code for a phone."""
    request = {"device": PC, "client_id": "demo-mobile", "session_token": token, **request}
    pc = callers.web
    started = await pc.pairings.StartPairing(
        pb.StartPairingRequest(direction=PAM, **request), metadata=pc.metadata
    )
    return Pair(pc, callers.client("mobile"), PAM, started)


async def scan(api: Api, code: str, **request: Any) -> pb.ScanPairingResponse:
    """A device reads a code."""
    request = {"device": PHONE, "scan_id": os.urandom(16), **request}
    return await api.pairings.ScanPairing(
        pb.ScanPairingRequest(code=code, **request), metadata=api.metadata
    )


def other_number(number: str) -> str:
    """A wrong one."""
    return f"{(int(number) + 1) % 100:02}"


@asynccontextmanager
async def following(call: Any) -> AsyncIterator[Any]:
    """A stream that is cancelled at the end of the block."""
    try:
        yield call
    finally:
        call.cancel()
