"""ScanPairing: a device read a code."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import (
    PairingDirection,
    PairingNetworkRule,
    PairingState,
    Permission,
    RevocationReason,
    TrustEntryKind,
)
from token_service.domain.pairing.decision import Event, Move, Pairing, Side, Step, decide_pairing
from token_service.domain.pairing.qr_codes import dies_at, shown_from, tag_of_code
from token_service.domain.ports import (
    Clock,
    CodeTombstone,
    PairingSecrets,
    PairingStore,
    PendingPairings,
    RevocationStore,
    Trust,
)
from token_service.domain.sessions.session import UNKNOWN_DEVICE, Device, Session
from token_service.domain.trust.revocation import Revocation
from token_service.usecases.clients.cache import ClientCache
from token_service.usecases.pairing.access import (
    PairingAccess,
    audit_of,
    decided,
    keeps_changing,
    refused,
    require_may_pair_for,
)
from token_service.usecases.pairing.start import session_of_user
from token_service.usecases.sessions.overview import SessionAccess
from token_service.usecases.shielding import Shield

_TRIES = 8


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """`code` in its canonical spelling; `scan_id` is 16 bytes drawn once per scan and repeated on
    its retries; `session_token` is the phone's in the direction MAP."""

    code: str = field(repr=False)
    scan_id: bytes = field(repr=False)
    session_token: str = field(default="", repr=False)
    device: Device = UNKNOWN_DEVICE


@dataclass(frozen=True, slots=True)
class Scanned:
    """What the scanner gets; `check_number` where it is to display one."""

    pairing: Pairing
    scan_secret: str = field(repr=False)
    check_number: str


class ScanPairing:
    """Raises PAIRING_STATE (unknown, dead and used codes alike), CLIENT_MISMATCH,
    PAIRING_NETWORK_MISMATCH and what SessionAccess raises."""

    def __init__(
        self,
        *,
        access: PairingAccess,
        sessions: SessionAccess,
        store: PairingStore,
        pending: PendingPairings,
        secrets: PairingSecrets,
        client_cache: ClientCache,
        revocations: RevocationStore,
        trust: Trust,
        clock: Clock,
        shield: Shield,
    ) -> None:
        self._access = access
        self._sessions = sessions
        self._store = store
        self._pending = pending
        self._secrets = secrets
        self._client_cache = client_cache
        self._revocations = revocations
        self._trust = trust
        self._clock = clock
        self._shield = shield

    async def __call__(self, caller: Caller, request: ScanRequest) -> Scanned:
        """Take the pairing behind the code, or see that somebody else has. What has begun is
        finished, also when the caller goes away."""
        caller.require(Permission.PAIRING)
        pairing = await self._behind(caller, request.code)
        session = await self._eligible(caller, pairing, request)
        await self._require_network(caller, pairing, request.device)
        return await self._shield.run(self._scan(caller, pairing, request, session))

    async def _behind(self, caller: Caller, code: str) -> Pairing:
        now, hashes = self._clock.now(), self._secrets.code_hashes(code)
        pairing = await self._store.find_by_code(hashes, now)
        if pairing is None:
            pairing = await self._pending.find_by_code(tag_of_code(code), hashes, now)
        if pairing is None:
            await self._access.note_unknown_code(caller)
            raise refused(Reason.PAIRING_STATE)
        return pairing

    async def _eligible(
        self, caller: Caller, pairing: Pairing, request: ScanRequest
    ) -> Session | None:
        """The phone's session in MAP. Whoever may not scan has touched nothing."""
        if pairing.direction is PairingDirection.MAP:
            require_may_pair_for(caller, pairing.client_id)
            return await session_of_user(self._sessions, caller, request.session_token)
        if caller.client_id != pairing.client_id:
            raise TokenServiceError(Reason.CLIENT_MISMATCH, "the pairing is for another client")
        return None

    async def _require_network(self, caller: Caller, pairing: Pairing, device: Device) -> None:
        client, _ = await self._client_cache.require(pairing.client_id)
        rules = {caller.policy.pairing_network, client.policy.pairing_network}
        if pairing.starter_client not in (caller.client_id, client.client_id):
            starter, _ = await self._client_cache.require(pairing.starter_client)
            rules.add(starter.policy.pairing_network)
        elsewhere = not replace(pairing, scanner=device).same_network
        if elsewhere and PairingNetworkRule.DENY in rules:
            raise TokenServiceError(
                Reason.PAIRING_NETWORK_MISMATCH, "the devices are not on the same network"
            )

    async def _scan(
        self, caller: Caller, found: Pairing, request: ScanRequest, session: Session | None
    ) -> Scanned:
        secret, scan_hash = self._secrets.scan_secret(
            found.pairing_id, request.scan_id, found.pepper_id
        )
        pairing: Pairing | None = found
        for attempt in range(_TRIES):
            if attempt:
                pairing = await self._store.get(found.pairing_id)
            if pairing is None:
                raise refused(Reason.PAIRING_STATE)
            now = self._clock.now()
            event = Event(
                Step.SCAN, Side.SCANNER, same_scan=_is_same(pairing, caller, scan_hash, session)
            )
            decision = decided(decide_pairing(pairing, event, now))
            if not isinstance(decision, Move):
                return self._answer(pairing, secret)
            if pairing.state is PairingState.PENDING:
                taken = _taken(
                    pairing,
                    decision,
                    caller=caller,
                    request=request,
                    scan_hash=scan_hash,
                    session=session,
                    now=now,
                )
                subject = session.subject if session else ""
                audit = audit_of(
                    caller, taken, now=now, action="pairing.scan", move=decision, subject=subject
                )
                if await self._store.insert(taken, _tombstones(pairing, now), audit):
                    return self._answer(taken, secret)
                continue
            if decision.revokes_child:
                await self._revoke_child(caller, pairing, now)
            if await self._access.write(
                caller, pairing, move=decision, now=now, action="pairing.second_scan"
            ):
                raise refused(Reason.PAIRING_STATE)
        raise keeps_changing()

    async def _revoke_child(self, caller: Caller, pairing: Pairing, now: datetime) -> None:
        session_id = str(pairing.child_session)
        audit = caller.audit(
            now, "session.revoke", target=session_id, details="reason=compromise second scan"
        )
        revocation = Revocation(
            kind=TrustEntryKind.SESSION,
            id=session_id,
            reason=RevocationReason.COMPROMISE,
            audit=audit,
        )
        revoked = await self._revocations.revoke(revocation, now)
        await self._trust.reach(revoked.revision)

    def _answer(self, pairing: Pairing, secret: str) -> Scanned:
        displays = pairing.collector is Side.SCANNER and not pairing.direct
        number = self._secrets.check_number(pairing) if displays else ""
        return Scanned(pairing, secret, number)


def _taken(
    pairing: Pairing,
    move: Move,
    *,
    caller: Caller,
    request: ScanRequest,
    scan_hash: bytes,
    session: Session | None,
    now: datetime,
) -> Pairing:
    return replace(
        pairing,
        state=move.state,
        ends_at=move.ends_at,
        approver_session=session.session_id if session else pairing.approver_session,
        scanner_client=caller.client_id,
        scan_hash=scan_hash,
        scanner=request.device,
        scanned_at=now,
    )


def _tombstones(pairing: Pairing, now: datetime) -> list[CodeTombstone]:
    """Of the codes that somebody may just be looking at."""
    return [
        CodeTombstone(code_hash, dies_at(pairing.started_at, number))
        for number, code_hash in enumerate(pairing.code_hashes)
        if shown_from(pairing.started_at, number) <= now < dies_at(pairing.started_at, number)
    ]


def _is_same(pairing: Pairing, caller: Caller, scan_hash: bytes, session: Session | None) -> bool:
    return (
        pairing.scan_hash == scan_hash
        and pairing.scanner_client == caller.client_id
        and (session is None or pairing.approver_session == session.session_id)
    )
