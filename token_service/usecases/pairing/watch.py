"""WatchPairing and GetPairing: how a pairing stands, for those who take part in it."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, PairingEndReason, PairingState, Permission
from token_service.domain.pairing.decision import LIVE, Pairing, Side
from token_service.domain.pairing.qr_codes import current_number, dies_at, show_code, shown_from
from token_service.domain.ports import Clock, PairingSecrets, PairingWakeups
from token_service.domain.sessions.session import Device
from token_service.usecases.clients.cache import ClientCache
from token_service.usecases.pairing.access import PairingAccess, Proof
from token_service.usecases.pairing.start import ShownCode

REPEAT_AFTER = timedelta(seconds=25)
"""A state is told again after this: proxies cut connections that carry nothing for a minute."""

_LATE = 0.01
"""Seconds by which a timer may be early."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side, as its own client reported it."""

    device: Device
    at: datetime | None
    same_network: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What one side is told. `looks_again_at` is when something may change by itself."""

    state: PairingState
    end_reason: PairingEndReason = PairingEndReason.UNSPECIFIED
    shown: ShownCode | None = None
    peer: Peer | None = None
    check_number: str = field(default="", repr=False)
    ends_at: datetime | None = None
    looks_again_at: datetime | None = field(default=None, compare=False)


class WatchPairing:
    """Raises PAIRING_NOT_FOUND, CLIENT_MISMATCH, CALLER_UNAUTHENTICATED and PERMISSION_MISSING."""

    def __init__(
        self,
        access: PairingAccess,
        secrets: PairingSecrets,
        wakeups: PairingWakeups,
        client_cache: ClientCache,
        clock: Clock,
    ) -> None:
        self._access = access
        self._secrets = secrets
        self._wakeups = wakeups
        self._client_cache = client_cache
        self._clock = clock

    async def once(self, caller: Caller, pairing_id: UUID, proof: Proof) -> Standing:
        """How it stands now."""
        pairing = await self._access.find(caller, pairing_id, proof)
        return self._standing(pairing, proof, self._clock.now())

    async def __call__(
        self, caller: Caller, pairing_id: UUID, proof: Proof
    ) -> AsyncGenerator[Standing, None]:
        """How it stands: now, at every change, and again where nothing changes for long; until a
        state that is final."""
        told: Standing | None = None
        again_at = self._clock.now()
        version = self._client_cache.version
        with self._wakeups.watch(pairing_id) as watcher:
            while True:
                if version != self._client_cache.version:
                    version = self._client_cache.version
                    await self._require_allowed(caller)
                standing = await self._look(caller, pairing_id, proof, told)
                if standing != told or self._clock.now() >= again_at:
                    told, again_at = standing, self._clock.now() + REPEAT_AFTER
                    yield standing
                if standing.looks_again_at is None:
                    return
                wait = min(standing.looks_again_at, again_at) - self._clock.now()
                await watcher.wait(wait.total_seconds() + _LATE)

    async def _look(
        self, caller: Caller, pairing_id: UUID, proof: Proof, told: Standing | None
    ) -> Standing:
        try:
            return await self.once(caller, pairing_id, proof)
        except TokenServiceError as error:
            # Forgotten before anybody scanned it: its codes lead nowhere any more.
            if told is None or error.reason is not Reason.PAIRING_NOT_FOUND:
                raise
            return Standing(state=PairingState.EXPIRED)

    def _standing(self, stored: Pairing, proof: Proof, now: datetime) -> Standing:
        pairing = stored.at(now)
        if pairing.state is PairingState.PENDING:
            return self._pending(pairing, proof, now)
        standing = Standing(
            state=pairing.state,
            end_reason=pairing.end_reason,
            peer=_peer_of(pairing, proof.side),
        )
        if pairing.state not in LIVE:
            return standing
        displays = proof.side is pairing.collector and not pairing.direct
        return replace(
            standing,
            check_number=self._secrets.check_number(pairing) if displays else "",
            ends_at=pairing.ends_at,
            looks_again_at=pairing.ends_at,
        )

    def _pending(self, pairing: Pairing, proof: Proof, now: datetime) -> Standing:
        number = current_number(pairing.started_at, now)
        code = self._secrets.code(pairing, proof.secret, number)
        code_ends_at = min(dies_at(pairing.started_at, number), pairing.ends_at)
        return Standing(
            state=pairing.state,
            shown=ShownCode(show_code(code), code_ends_at, pairing.direction),
            ends_at=pairing.ends_at,
            looks_again_at=min(shown_from(pairing.started_at, number + 1), pairing.ends_at),
        )

    async def _require_allowed(self, caller: Caller) -> None:
        """A client that was disabled, or lost its permission, is not told any more."""
        found = await self._client_cache.find(caller.client_id)
        client = found[0] if found else None
        if client is None or client.state is not ClientState.ACTIVE:
            raise TokenServiceError(
                Reason.CALLER_UNAUTHENTICATED, "the caller is not authenticated"
            )
        if Permission.PAIRING not in client.policy.permissions:
            raise TokenServiceError(Reason.PERMISSION_MISSING, "permission pairing is missing")


def _peer_of(pairing: Pairing, side: Side) -> Peer | None:
    if pairing.scanned_at is None:
        return None
    if side is Side.STARTER:
        return Peer(pairing.scanner, pairing.scanned_at, pairing.same_network)
    return Peer(pairing.starter, pairing.started_at, pairing.same_network)
