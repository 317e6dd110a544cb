"""Clients, composed."""

from dataclasses import dataclass

from token_service.app.parts import Parts
from token_service.app.usecases.shared import Shared
from token_service.config import Settings
from token_service.usecases.clients.administration import ClientAdministration, ReviewClient
from token_service.usecases.clients.authenticate_caller import AuthenticateCaller
from token_service.usecases.clients.credentials import CollectClientCredentials, RotateClientSecret
from token_service.usecases.clients.registration import RegisterClient
from token_service.usecases.tokens.validate import Validate


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientUseCases:
    """Clients are registered, reviewed, given secrets, and recognised when they call."""

    authenticate_caller: AuthenticateCaller
    register: RegisterClient
    review: ReviewClient
    collect: CollectClientCredentials
    rotate: RotateClientSecret
    administration: ClientAdministration


def clients(settings: Settings, parts: Parts, shared: Shared, validate: Validate) -> ClientUseCases:
    """Compose them."""
    anybody = settings.open_registration
    return ClientUseCases(
        authenticate_caller=AuthenticateCaller(
            client_cache=parts.client_cache,
            store=parts.clients,
            secrets=parts.secrets,
            validate=validate,
            clock=parts.clock,
            refusals=shared.refusals,
        ),
        register=RegisterClient(
            store=parts.clients,
            secrets=parts.secrets,
            clock=parts.clock,
            random=parts.random,
            shield=parts.shield,
            open_registration=anybody,
        ),
        review=ReviewClient(
            store=parts.clients,
            records=shared.records,
            trust=parts.trust,
            clock=parts.clock,
            shield=parts.shield,
            limits=shared.limits,
            refusals=shared.refusals,
        ),
        collect=CollectClientCredentials(
            store=parts.clients,
            records=shared.records,
            secrets=parts.secrets,
            clock=parts.clock,
            shield=parts.shield,
            refusals=shared.refusals,
            open_registration=anybody,
        ),
        rotate=RotateClientSecret(
            store=parts.clients,
            records=shared.records,
            secrets=parts.secrets,
            clock=parts.clock,
            shield=parts.shield,
            refusals=shared.refusals,
        ),
        administration=ClientAdministration(
            store=parts.clients,
            records=shared.records,
            trust=parts.trust,
            clock=parts.clock,
            shield=parts.shield,
            limits=shared.limits,
            refusals=shared.refusals,
        ),
    )
