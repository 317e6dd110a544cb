"""Keys, composed."""

from dataclasses import dataclass

from token_service.app.parts import Parts
from token_service.config import Settings
from token_service.usecases.keys.administration import CompromiseKey, KeyAdministration


@dataclass(frozen=True, slots=True)
class KeyUseCases:
    """Keys are looked at, replaced and declared compromised."""

    administration: KeyAdministration
    compromise: CompromiseKey


def keys(settings: Settings, parts: Parts) -> KeyUseCases:
    """Compose them."""
    return KeyUseCases(
        administration=KeyAdministration(
            store=parts.keys,
            material=parts.keyring,
            clock=parts.clock,
            shield=parts.shield,
            settings=parts.key_schedule,
            default_algorithm=settings.signing_algorithms[0],
        ),
        compromise=CompromiseKey(
            store=parts.keys,
            material=parts.keyring,
            revocations=parts.revocations,
            trust=parts.trust,
            clock=parts.clock,
            shield=parts.shield,
            maintenance=parts.key_maintenance,
        ),
    )
