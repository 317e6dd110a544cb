"""The pairing service: its use cases given their parts."""

from token_service.app.parts import Parts
from token_service.config import Settings
from token_service.rpc.servicers.pairing import PairingServicer
from token_service.usecases.pairing.access import PairingAccess
from token_service.usecases.pairing.collect import CollectPairing
from token_service.usecases.pairing.decide import ApprovePairing, EndPairing
from token_service.usecases.pairing.scan import ScanPairing
from token_service.usecases.pairing.start import StartPairing
from token_service.usecases.pairing.watch import WatchPairing
from token_service.usecases.refusals import Refusals
from token_service.usecases.sessions.overview import SessionAccess
from token_service.usecases.tokens.token_set import TokenSetMaker


def pairing_servicer(
    settings: Settings, parts: Parts, sessions: SessionAccess, refusals: Refusals
) -> PairingServicer:
    """Compose it. `sessions` checks presented session tokens."""
    store, pending, secrets = parts.pairings, parts.redis.pairings, parts.pairing_secrets
    client_cache, clock, shield = parts.client_cache, parts.clock, parts.shield
    access = PairingAccess(store, pending, secrets, clock, refusals)
    return PairingServicer(
        start=StartPairing(client_cache, sessions, pending, secrets, clock, parts.random),
        watch=WatchPairing(access, secrets, parts.pairing_wakeups, client_cache, clock),
        scan=ScanPairing(
            access,
            sessions,
            store,
            pending,
            secrets,
            client_cache,
            parts.revocations,
            parts.trust,
            clock,
            shield,
        ),
        approve=ApprovePairing(access, sessions, secrets, client_cache, clock, shield),
        end=EndPairing(access, shield),
        collect=CollectPairing(
            access,
            store,
            client_cache,
            TokenSetMaker(parts.mint, parts.tokens, parts.random),
            parts.mint,
            parts.secrets,
            clock,
            parts.random,
            shield,
        ),
        uri_prefix=settings.qr_uri_prefix,
    )
