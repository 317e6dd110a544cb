"""ApprovePairing, DenyPairing and CancelPairing: what people decide."""

import hmac
from dataclasses import dataclass, field
from uuid import UUID

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import PairingState
from token_service.domain.pairing.decision import Event, Pairing, Step
from token_service.domain.ports import Clock, PairingSecrets
from token_service.usecases.clients.cache import ClientCache
from token_service.usecases.pairing.access import PairingAccess, Proof
from token_service.usecases.pairing.start import (
    login_of,
    max_auth_age,
    require_recent,
    session_of_user,
)
from token_service.usecases.sessions.overview import SessionAccess
from token_service.usecases.shielding import Shield


@dataclass(frozen=True, slots=True)
class ApproveRequest:
    """`session_token` is the approving session's current one, `check_number` as it was typed."""

    pairing_id: UUID
    proof: Proof
    session_token: str = field(repr=False)
    check_number: str = field(repr=False)


class ApprovePairing:
    """Raises PAIRING_NOT_FOUND, CLIENT_MISMATCH, PAIRING_STATE, CHECK_NUMBER_WRONG,
    STEP_UP_REQUIRED and what SessionAccess raises."""

    def __init__(
        self,
        *,
        access: PairingAccess,
        sessions: SessionAccess,
        secrets: PairingSecrets,
        client_cache: ClientCache,
        clock: Clock,
        shield: Shield,
    ) -> None:
        self._access = access
        self._sessions = sessions
        self._secrets = secrets
        self._client_cache = client_cache
        self._clock = clock
        self._shield = shield

    async def __call__(self, caller: Caller, request: ApproveRequest) -> PairingState:
        """Approve, if the number is right; a wrong one is counted before it is refused."""
        pairing = await self._access.find(caller, request.pairing_id, request.proof)
        if request.proof.side is not pairing.approver:
            raise TokenServiceError(Reason.PAIRING_NOT_FOUND, "there is no such pairing")
        session = await session_of_user(self._sessions, caller, request.session_token)
        # A pairing that nobody scanned has no approver yet in MAP; the step is refused below.
        if pairing.approver_session not in (None, session.session_id):
            raise TokenServiceError(
                Reason.CLIENT_MISMATCH, "another session takes part in this pairing"
            )
        client, _ = await self._client_cache.require(pairing.client_id)
        age = max_auth_age(caller.policy, client.policy)
        require_recent(session, age, self._clock.now())
        return await self._shield.run(
            self._access.step(
                caller,
                pairing,
                proof=request.proof,
                event_of=lambda found: self._event(found, request),
                action="pairing.approve",
                login=login_of(session),
                subject=session.subject,
            )
        )

    def _event(self, pairing: Pairing, request: ApproveRequest) -> Event:
        right = bool(pairing.scan_hash) and hmac.compare_digest(
            self._secrets.check_number(pairing), request.check_number
        )
        return Event(Step.APPROVE, request.proof.side, right_number=right)


class EndPairing:
    """Deny or cancel, by either side. Raises PAIRING_NOT_FOUND, CLIENT_MISMATCH, PAIRING_STATE."""

    def __init__(self, access: PairingAccess, shield: Shield) -> None:
        self._access = access
        self._shield = shield

    async def deny(self, caller: Caller, pairing_id: UUID, proof: Proof) -> PairingState:
        """Somebody says that it was not them."""
        return await self._end(caller, pairing_id, proof, Step.DENY)

    async def cancel(self, caller: Caller, pairing_id: UUID, proof: Proof) -> PairingState:
        """Somebody gives up."""
        return await self._end(caller, pairing_id, proof, Step.CANCEL)

    async def _end(
        self, caller: Caller, pairing_id: UUID, proof: Proof, step: Step
    ) -> PairingState:
        event = Event(step, proof.side)
        pairing = await self._access.find(caller, pairing_id, proof)
        return await self._shield.run(
            self._access.step(
                caller,
                pairing,
                proof=proof,
                event_of=lambda _: event,
                action=f"pairing.{step.name.lower()}",
            )
        )
