"""Ways in, composed."""

from dataclasses import dataclass

from token_service.app.parts import Parts
from token_service.app.usecases.shared import Shared
from token_service.usecases.login.issue import Issue
from token_service.usecases.login.reauthenticate import Reauthenticate


@dataclass(frozen=True, slots=True)
class LoginUseCases:
    """A credential becomes a session, or a fresh login of one."""

    issue: Issue
    reauthenticate: Reauthenticate


def login(parts: Parts, shared: Shared) -> LoginUseCases:
    """Compose them."""
    return LoginUseCases(
        issue=Issue(
            client_cache=parts.client_cache,
            verify_password=shared.verify_password,
            sessions=parts.sessions,
            maker=shared.maker,
            mint=parts.mint,
            clock=parts.clock,
            random=parts.random,
            shield=parts.shield,
        ),
        reauthenticate=Reauthenticate(
            rotation=shared.rotation,
            verify_password=shared.verify_password,
            clock=parts.clock,
            shield=parts.shield,
        ),
    )
