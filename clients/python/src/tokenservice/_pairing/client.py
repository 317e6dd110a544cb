"""Pairings: a device that is logged in lets another one in by a QR code.

The gateway in front of a PC that nobody is logged in at (MAP)::

    pairing = await client.start(PairingDirection.MAP, device=pc)
    show(qr.svg(pairing.shown.qr_uri))
    async for status in client.watch(pairing.key):
        if status.shown:                                # a new code each minute
            show(qr.svg(status.shown.qr_uri))
        elif status.state is PairingState.SCANNED:
            display(status.check_number)                # to be typed on the phone
        elif status.state is PairingState.APPROVED:
            tokens = await client.collect(pairing.key)

and that of the phone::

    scan = await client.scan(code_of(text), session_token=token, device=phone)
    ask(scan.peer)                                      # "is that your PC, in front of you?"
    await client.approve(scan.key, session_token=token, check_number=typed)

Nothing here makes MAP safe from somebody who relays a live code and talks a person through the
approval. Show the peer device, and offer denying as prominently as approving.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tokenservice import _messages as messages
from tokenservice._pairing import messages as pairing_messages
from tokenservice._pairing.follower import PairingFollower
from tokenservice._pairing.values import (
    ID_LENGTH,
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
    random_id,
)
from tokenservice._times import seconds_of
from tokenservice._transport import calls
from tokenservice._transport.calls import Calls, Effort
from tokenservice.v1 import pairing_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection

    from tokenservice._backoff import Backoff
    from tokenservice._transport.connection import Connection
    from tokenservice._values import Device, TokenSet

__all__ = [
    "PairingClient",
    "PairingDirection",
    "PairingEndReason",
    "PairingKey",
    "PairingState",
    "PairingStatus",
    "Peer",
    "ScannedPairing",
    "ShownCode",
    "Side",
    "StartedPairing",
    "code_of",
    "random_id",
]

# What was started twice shows one code; the other ends by itself, unseen.
_START: Final = Effort(10.0, repeatable=True, attempt_timeout=3.0)
_SCAN: Final = Effort(10.0, repeatable=True, attempt_timeout=3.0)
# A wrong number sent again is a second wrong number.
_APPROVE: Final = Effort(10.0)
_END: Final = Effort(10.0, repeatable=True, attempt_timeout=3.0)

WATCH_PATIENCE: Final = timedelta(minutes=1)
POLL_INTERVAL: Final = timedelta(seconds=2)


class PairingClient:
    """The calls of PairingService. ``timeout`` is for all attempts together.

    Everything raises TokenServiceError. Tests give clock (monotonic seconds), randomness
    ([0, 1)) and sleep. The connection belongs to the caller, who closes it.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._calls = Calls(connection, backoff=backoff, clock=clock, random=random, sleep=sleep)
        self._follower = PairingFollower(connection, backoff=backoff, random=random, sleep=sleep)
        self._sleep = sleep

    async def start(
        self,
        direction: PairingDirection,
        *,
        device: Device | None = None,
        session_token: str = "",
        client_id: str = "",
        audiences: Collection[str] = (),
        scopes: Collection[str] = (),
        timeout: timedelta | None = None,
    ) -> StartedPairing:
        """Open a pairing and get its first code.

        ``device`` is the one that shows the code, as the caller sees it. PAM needs the
        ``session_token`` of the PC, which is not consumed, and usually the ``client_id`` of the
        phone's application.
        """
        with messages.sendable():
            request = pb.StartPairingRequest(
                direction=messages.number(direction),
                device=messages.device_message(device),
                session_token=session_token and messages.presented(session_token),
                client_id=client_id,
                audiences=messages.names(audiences),
                scopes=messages.names(scopes),
            )
        reply = await self._calls.call(
            lambda stubs: stubs.pairings.StartPairing, request, _START, timeout
        )
        return pairing_messages.started(reply)

    async def watch(
        self, key: PairingKey, *, patience: timedelta = WATCH_PATIENCE
    ) -> AsyncGenerator[PairingStatus, None]:
        """Follow a pairing: as it is now, then each change, the final state last.

        A stream that breaks is opened again, on any server. Raises Unreachable when nobody
        answered for about ``patience``.
        """
        async with aclosing(
            self._follower.follow(key, seconds_of(patience, "patience"))
        ) as statuses:
            async for status in statuses:
                yield status

    async def poll(
        self, key: PairingKey, *, interval: timedelta = POLL_INTERVAL
    ) -> AsyncGenerator[PairingStatus, None]:
        """Do as :meth:`watch` does, by asking each ``interval``: where no stream gets
        through. Where the service says when to come back, that is waited for.
        """
        pause = seconds_of(interval, "interval")
        told: PairingStatus | None = None
        while told is None or not told.state.final:
            status = await self.get(key)
            if status != told:
                told = status
                yield status
            if not told.state.final:
                await self._sleep(pause)

    async def get(self, key: PairingKey, *, timeout: timedelta | None = None) -> PairingStatus:
        """Ask how a pairing stands, once.

        About one question a second is answered. One that comes too early is asked again when
        the service says so, within ``timeout``.
        """
        request = pb.GetPairingRequest(**pairing_messages.proof(key))
        reply = await self._calls.call(
            lambda stubs: stubs.pairings.GetPairing, request, calls.READ, timeout
        )
        return pairing_messages.status(reply)

    async def scan(
        self,
        code: str,
        *,
        scan_id: bytes | None = None,
        session_token: str = "",
        device: Device | None = None,
        timeout: timedelta | None = None,
    ) -> ScannedPairing:
        """Present a scanned code. MAP needs the phone's ``session_token``, which is not consumed.

        Retried with one scan id, 16 bytes: the one given, or a random one. To try again after
        Unreachable, give the same (:func:`random_id` draws it): another id is another scanner,
        which cancels the pairing.
        """
        scan_id = random_id() if scan_id is None else scan_id
        if len(scan_id) != ID_LENGTH:
            raise ValueError(f"a scan id has {ID_LENGTH} bytes")
        with messages.sendable():
            request = pb.ScanPairingRequest(
                code=code,
                scan_id=scan_id,
                session_token=session_token and messages.presented(session_token),
                device=messages.device_message(device),
            )
        reply = await self._calls.call(
            lambda stubs: stubs.pairings.ScanPairing, request, _SCAN, timeout
        )
        return pairing_messages.scanned(reply)

    async def approve(
        self,
        key: PairingKey,
        *,
        session_token: str,
        check_number: str,
        timeout: timedelta | None = None,
    ) -> PairingState:
        """Approve, with the two digits that the person typed. The token is not consumed.

        Sent once, for a wrong number counts each time: after Unreachable, :meth:`get` tells what
        became of it. Reasons include CHECK_NUMBER_WRONG (the second ends the pairing) and
        STEP_UP_REQUIRED (``TokenClient.reauthenticate`` cures it).
        """
        with messages.sendable():
            request = pb.ApprovePairingRequest(
                session_token=messages.presented(session_token),
                check_number=check_number,
                **pairing_messages.proof(key),
            )
        reply = await self._calls.call(
            lambda stubs: stubs.pairings.ApprovePairing, request, _APPROVE, timeout
        )
        return messages.member(PairingState, reply.state)

    async def deny(self, key: PairingKey, *, timeout: timedelta | None = None) -> PairingState:
        """Refuse: "that was not me". Raises PAIRING_STATE where it is too late."""
        request = pb.DenyPairingRequest(**pairing_messages.proof(key))
        reply = await self._calls.call(
            lambda stubs: stubs.pairings.DenyPairing, request, _END, timeout
        )
        return messages.member(PairingState, reply.state)

    async def cancel(self, key: PairingKey, *, timeout: timedelta | None = None) -> PairingState:
        """Give up. Raises PAIRING_STATE where it is too late."""
        request = pb.CancelPairingRequest(**pairing_messages.proof(key))
        reply = await self._calls.call(
            lambda stubs: stubs.pairings.CancelPairing, request, _END, timeout
        )
        return messages.member(PairingState, reply.state)

    async def collect(self, key: PairingKey, *, timeout: timedelta | None = None) -> TokenSet:
        """Fetch the new session of an approved pairing.

        Retried with the key's ``collect_id``; asking again with the same key gives the same
        tokens while these are unused, within the replay window.
        """
        request = pb.CollectPairingRequest(
            exchange_id=key.collect_id, **pairing_messages.proof(key)
        )
        reply = await self._calls.call(
            lambda stubs: stubs.pairings.CollectPairing, request, calls.EXCHANGE, timeout
        )
        return messages.token_set(reply.tokens, replayed=reply.replayed)


def code_of(text: str) -> str:
    """Give the code in a QR code's text, whichever prefix the installation has.

    The last part of the path is it; what is no code, the service refuses.
    """
    return text.strip().rpartition("/")[2]
