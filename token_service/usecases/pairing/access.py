"""Who may touch a pairing, and the way in which every step is decided and written."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from token_service.domain.audit import UNKNOWN, AuditEvent
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import PairingState, Permission
from token_service.domain.pairing.decision import (
    Event,
    Login,
    Move,
    Pairing,
    PairingDecision,
    Refuse,
    Side,
    decide_pairing,
)
from token_service.domain.ports import (
    Clock,
    PairingMove,
    PairingSecrets,
    PairingStore,
    PendingPairings,
)
from token_service.usecases.refusals import Refusals

_TRIES = 8

_TEXTS = {
    Reason.PAIRING_NOT_FOUND: "there is no such pairing",
    Reason.PAIRING_STATE: "the pairing is not in a state that allows this",
    Reason.CHECK_NUMBER_WRONG: "the check number is wrong",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """The secret by which a caller proves to be one side of a pairing."""

    side: Side
    secret: str = field(repr=False)


class PairingAccess:
    """Finds pairings for those who hold their secrets, and takes their steps."""

    def __init__(
        self,
        store: PairingStore,
        pending: PendingPairings,
        secrets: PairingSecrets,
        clock: Clock,
        refusals: Refusals,
    ) -> None:
        self._store = store
        self._pending = pending
        self._secrets = secrets
        self._clock = clock
        self._refusals = refusals

    async def find(self, caller: Caller, pairing_id: UUID, proof: Proof) -> Pairing:
        """The pairing as it is stored. Raises PAIRING_NOT_FOUND for one that is not there and for
        a secret that is not that side's, CLIENT_MISMATCH for another client with the secret."""
        caller.require(Permission.PAIRING)
        pairing = await self._load(pairing_id)
        if pairing is None:
            raise refused(Reason.PAIRING_NOT_FOUND)
        if not self._secrets.matches(pairing, proof.side, proof.secret):
            # Whoever has the id without the secret did not get it from this service.
            reason = Reason.PAIRING_NOT_FOUND
            await self._refusals.note(caller, "pairing.prove", reason, str(pairing_id))
            raise refused(reason)
        if caller.client_id not in _clients_of(pairing, proof.side):
            raise TokenServiceError(
                Reason.CLIENT_MISMATCH, "the secret was given to another client"
            )
        return pairing

    async def note_unknown_code(self, caller: Caller) -> None:
        """Somebody scanned a code that belongs to no pairing: guessed, or too late."""
        await self._refusals.note(caller, "pairing.scan", Reason.PAIRING_STATE, UNKNOWN)

    async def step(
        self,
        caller: Caller,
        found: Pairing,
        *,
        proof: Proof,
        event_of: Callable[[Pairing], Event],
        action: str,
        login: Login | None = None,
        subject: str = "",
    ) -> PairingState:
        """Decide on the pairing, as it was `found` or as it is since, and write what was decided,
        or raise. An event that is to be counted is counted before the error is raised."""
        pairing = found
        for attempt in range(_TRIES):
            if attempt:
                pairing = await self.find(caller, found.pairing_id, proof)
            now = self._clock.now()
            decision = decide_pairing(pairing, event_of(pairing), now)
            if isinstance(decision, Refuse):
                raise refused(decision.reason)
            if not isinstance(decision, Move):
                return pairing.state
            if await self.write(
                caller, pairing, move=decision, now=now, action=action, login=login, subject=subject
            ):
                if decision.refusal is not None:
                    raise refused(decision.refusal)
                return decision.state
        raise keeps_changing()

    async def write(
        self,
        caller: Caller,
        pairing: Pairing,
        *,
        move: Move,
        now: datetime,
        action: str,
        login: Login | None = None,
        subject: str = "",
    ) -> bool:
        """Write one step; False: the pairing is not any more what was decided on."""
        audit = audit_of(caller, pairing, now=now, action=action, move=move, subject=subject)
        if pairing.state is PairingState.PENDING:
            ended = replace(
                pairing, state=move.state, ends_at=move.ends_at, end_reason=move.end_reason
            )
            return await self._store.insert(ended, (), audit)
        change = PairingMove(
            pairing_id=pairing.pairing_id,
            from_state=pairing.state,
            from_wrong_numbers=pairing.wrong_numbers,
            state=move.state,
            wrong_numbers=move.wrong_numbers,
            ends_at=move.ends_at,
            at=now,
            end_reason=move.end_reason,
            login=login if move.state is PairingState.APPROVED else None,
        )
        return await self._store.move(change, audit)

    async def _load(self, pairing_id: UUID) -> Pairing | None:
        # What Postgres knows is later than anything in Redis.
        found = await self._store.get(pairing_id)
        return found if found is not None else await self._pending.get(pairing_id)


def decided(decision: PairingDecision) -> PairingDecision:
    """`decision`, unless it is a refusal, which is raised."""
    if isinstance(decision, Refuse):
        raise refused(decision.reason)
    return decision


def refused(reason: Reason) -> TokenServiceError:
    """A refusal in words that say no more than the reason."""
    return TokenServiceError(reason, _TEXTS[reason])


def keeps_changing() -> TokenServiceError:
    """What was decided on changed each time before it could be written."""
    return TokenServiceError(
        Reason.OVERLOADED, "the pairing keeps changing", retry_after=timedelta(seconds=1)
    )


def require_may_pair_for(caller: Caller, client_id: str) -> None:
    """Raise CLIENT_MISMATCH unless the caller may let people into that client."""
    if client_id != caller.client_id and client_id not in caller.policy.may_pair_for:
        raise TokenServiceError(
            Reason.CLIENT_MISMATCH, "sessions of that client are not this caller's to pair for"
        )


def audit_of(
    caller: Caller, pairing: Pairing, *, now: datetime, action: str, move: Move, subject: str = ""
) -> AuditEvent:
    """The audit row of a step; `subject` is the person whose session took it."""
    outcome = "ok" if move.refusal is None else move.refusal.value.lower()
    details = (
        f"direction={pairing.direction.name.lower()} client={pairing.client_id}"
        f" state={move.state.name.lower()}"
    )
    return caller.audit(
        now,
        action,
        outcome,
        target=str(pairing.pairing_id),
        subject=subject,
        details=details,
    )


def _clients_of(pairing: Pairing, side: Side) -> tuple[str, ...]:
    """Who may have that side's secret: whoever was given it, and who collects with it."""
    given = pairing.starter_client if side is Side.STARTER else pairing.scanner_client
    return (given, pairing.client_id) if side is pairing.collector else (given,)
