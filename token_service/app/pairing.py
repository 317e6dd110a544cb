"""The pairing service: its use cases given their parts."""

from token_service.app.parts import Parts
from token_service.config import Settings
from token_service.rpc.servicers.pairing import PairingServicer
from token_service.usecases.collect_pairing import CollectPairing
from token_service.usecases.decide_pairing import ApprovePairing, EndPairing
from token_service.usecases.pairing_access import PairingAccess
from token_service.usecases.refusals import Refusals
from token_service.usecases.scan_pairing import ScanPairing
from token_service.usecases.sessions import SessionAccess
from token_service.usecases.start_pairing import StartPairing
from token_service.usecases.token_set import TokenSetMaker
from token_service.usecases.watch_pairing import WatchPairing


def pairing_servicer(
    settings: Settings, parts: Parts, sessions: SessionAccess, refusals: Refusals
) -> PairingServicer:
    """Compose it. `sessions` checks presented session tokens."""
    store, pending, secrets = parts.pairings, parts.redis.pairings, parts.pairing_secrets
    directory, clock, shield = parts.directory, parts.clock, parts.shield
    access = PairingAccess(store, pending, secrets, clock, refusals)
    return PairingServicer(
        start=StartPairing(directory, sessions, pending, secrets, clock, parts.random),
        watch=WatchPairing(access, secrets, parts.pairing_wakeups, directory, clock),
        scan=ScanPairing(
            access,
            sessions,
            store,
            pending,
            secrets,
            directory,
            parts.revocations,
            parts.trust,
            clock,
            shield,
        ),
        approve=ApprovePairing(access, sessions, secrets, directory, clock, shield),
        end=EndPairing(access, shield),
        collect=CollectPairing(
            access,
            store,
            directory,
            TokenSetMaker(parts.mint, parts.tokens, parts.random),
            parts.mint,
            parts.secrets,
            clock,
            parts.random,
            shield,
        ),
        uri_prefix=settings.qr_uri_prefix,
    )
