"""Ways in, composed."""

from dataclasses import dataclass

from token_service.app.parts import Parts
from token_service.app.usecases.shared import Shared
from token_service.config import Settings
from token_service.usecases.login.client import ClientCredential, VerifyClient
from token_service.usecases.login.issue import Issue
from token_service.usecases.login.passwords import (
    PasswordCredential,
    PasswordLimits,
    VerifyPassword,
)
from token_service.usecases.login.reauthenticate import Reauthenticate
from token_service.usecases.login.verifiers import Verifiers


@dataclass(frozen=True, slots=True)
class LoginUseCases:
    """A credential becomes a session, or a fresh login of one."""

    verifiers: Verifiers
    issue: Issue
    reauthenticate: Reauthenticate


def login(settings: Settings, parts: Parts, shared: Shared) -> LoginUseCases:
    """Compose them."""
    verifiers = Verifiers(
        {
            ClientCredential: VerifyClient(parts.clock),
            PasswordCredential: _passwords(settings, parts),
        }
    )
    return LoginUseCases(
        verifiers=verifiers,
        issue=Issue(
            client_cache=parts.client_cache,
            verifiers=verifiers,
            sessions=parts.sessions,
            maker=shared.maker,
            mint=parts.mint,
            clock=parts.clock,
            random=parts.random,
            shield=parts.shield,
        ),
        reauthenticate=Reauthenticate(
            rotation=shared.rotation,
            verifiers=verifiers,
            shield=parts.shield,
        ),
    )


def _passwords(settings: Settings, parts: Parts) -> VerifyPassword:
    limits = PasswordLimits(
        pair=settings.login_attempts_per_account_and_address,
        account=settings.login_attempts_per_account,
        address=settings.login_attempts_per_address,
        window=settings.login_window,
        lock=settings.login_lock,
    )
    return VerifyPassword(
        users=parts.users,
        hasher=parts.hasher,
        attempts=parts.attempts,
        coarse=parts.redis.coarse,
        secrets=parts.secrets,
        clock=parts.clock,
        limits=limits,
    )
