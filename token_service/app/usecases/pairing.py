"""Pairings, composed."""

from dataclasses import dataclass

from token_service.app.parts import Parts
from token_service.app.usecases.shared import Shared
from token_service.usecases.pairing.access import PairingAccess
from token_service.usecases.pairing.collect import CollectPairing
from token_service.usecases.pairing.decide import ApprovePairing, EndPairing
from token_service.usecases.pairing.scan import ScanPairing
from token_service.usecases.pairing.start import StartPairing
from token_service.usecases.pairing.watch import WatchPairing


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingUseCases:
    """The steps of a pairing."""

    start: StartPairing
    watch: WatchPairing
    scan: ScanPairing
    approve: ApprovePairing
    end: EndPairing
    collect: CollectPairing


def pairing(parts: Parts, shared: Shared) -> PairingUseCases:
    """Compose them."""
    store, pending, secrets = parts.pairings, parts.redis.pairings, parts.pairing_secrets
    client_cache, clock, shield = parts.client_cache, parts.clock, parts.shield
    access = PairingAccess(
        store=store, pending=pending, secrets=secrets, clock=clock, refusals=shared.refusals
    )
    return PairingUseCases(
        start=StartPairing(
            client_cache=client_cache,
            access=shared.access,
            pending=pending,
            secrets=secrets,
            clock=clock,
            random=parts.random,
        ),
        watch=WatchPairing(
            access=access,
            secrets=secrets,
            wakeups=parts.pairing_wakeups,
            client_cache=client_cache,
            clock=clock,
        ),
        scan=ScanPairing(
            access=access,
            sessions=shared.access,
            store=store,
            pending=pending,
            secrets=secrets,
            client_cache=client_cache,
            revocations=parts.revocations,
            trust=parts.trust,
            clock=clock,
            shield=shield,
        ),
        approve=ApprovePairing(
            access=access,
            sessions=shared.access,
            secrets=secrets,
            client_cache=client_cache,
            clock=clock,
            shield=shield,
        ),
        end=EndPairing(access, shield),
        collect=CollectPairing(
            access=access,
            store=store,
            client_cache=client_cache,
            maker=shared.maker,
            mint=parts.mint,
            secrets=parts.secrets,
            durability=parts.durability,
            clock=clock,
            random=parts.random,
            shield=shield,
        ),
    )
