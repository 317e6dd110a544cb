"""PairingService: one device lets another one in."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from token_service.domain.clients.caller import Caller
from token_service.rpc.capacity import RateLimiter
from token_service.rpc.mapping import pairing as mapping
from token_service.rpc.policy_table import Rate
from token_service.usecases.pairing.collect import CollectPairing
from token_service.usecases.pairing.decide import ApprovePairing, EndPairing
from token_service.usecases.pairing.scan import ScanPairing
from token_service.usecases.pairing.start import StartPairing
from token_service.usecases.pairing.watch import WatchPairing
from tokenservice.v1 import pairing_service_pb2 as pb

POLLS = Rate(per_second=1.0, burst=5)
"""How often one side may ask how its pairing stands."""


class PairingServicer:
    """Maps requests, calls the use cases, maps outcomes. `uri_prefix` is what QR codes begin
    with."""

    def __init__(
        self,
        *,
        start: StartPairing,
        watch: WatchPairing,
        scan: ScanPairing,
        approve: ApprovePairing,
        end: EndPairing,
        collect: CollectPairing,
        uri_prefix: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start
        self._watch = watch
        self._scan = scan
        self._approve = approve
        self._end = end
        self._collect = collect
        self._messages = mapping.PairingMessages(uri_prefix)
        self._polls = RateLimiter(POLLS, monotonic)

    async def start_pairing(
        self, caller: Caller, request: pb.StartPairingRequest
    ) -> pb.StartPairingResponse:
        """Open a pairing."""
        return self._messages.started(await self._start(caller, mapping.start_request(request)))

    async def watch_pairing(
        self, caller: Caller, request: pb.WatchPairingRequest
    ) -> AsyncGenerator[pb.WatchPairingResponse, None]:
        """Stream its states and codes."""
        pairing_id, proof = mapping.of_side(request)
        async with aclosing(self._watch(caller, pairing_id, proof)) as standings:
            async for standing in standings:
                yield self._messages.standing(standing, pb.WatchPairingResponse)

    async def get_pairing(
        self, caller: Caller, request: pb.GetPairingRequest
    ) -> pb.GetPairingResponse:
        """Tell its state once, to a caller that does not ask too often."""
        pairing_id, proof = mapping.of_side(request)
        # By the secret, right or wrong: nobody slows down who holds the right one.
        self._polls.take(f"{pairing_id} {hash(proof.secret)}")
        standing = await self._watch.once(caller, pairing_id, proof)
        return self._messages.standing(standing, pb.GetPairingResponse)

    async def scan_pairing(
        self, caller: Caller, request: pb.ScanPairingRequest
    ) -> pb.ScanPairingResponse:
        """Take a scanned code."""
        return mapping.scanned(await self._scan(caller, mapping.scan_request(request)))

    async def approve_pairing(
        self, caller: Caller, request: pb.ApprovePairingRequest
    ) -> pb.ApprovePairingResponse:
        """Take an approval."""
        state = await self._approve(caller, mapping.approve_request(request))
        return pb.ApprovePairingResponse(state=mapping.state_number(state))

    async def deny_pairing(
        self, caller: Caller, request: pb.DenyPairingRequest
    ) -> pb.DenyPairingResponse:
        """Take a refusal."""
        state = await self._end.deny(caller, *mapping.of_side(request))
        return pb.DenyPairingResponse(state=mapping.state_number(state))

    async def cancel_pairing(
        self, caller: Caller, request: pb.CancelPairingRequest
    ) -> pb.CancelPairingResponse:
        """End it."""
        state = await self._end.cancel(caller, *mapping.of_side(request))
        return pb.CancelPairingResponse(state=mapping.state_number(state))

    async def collect_pairing(
        self, caller: Caller, request: pb.CollectPairingRequest
    ) -> pb.CollectPairingResponse:
        """Hand out its session."""
        return mapping.collected(await self._collect(caller, mapping.collect_request(request)))
