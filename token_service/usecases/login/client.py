"""The calling client itself: its authentication on this call is the credential."""

from dataclasses import dataclass

from token_service.domain.kinds import Amr, CredentialKind
from token_service.domain.login.authenticated import Authenticated
from token_service.domain.ports import Clock
from token_service.usecases.login.verifiers import LoginAttempt


@dataclass(frozen=True, slots=True)
class ClientCredential:
    """Nothing of its own: the call's authentication stands for it."""


class VerifyClient:
    """The caller was authenticated before its request was read; there is nothing left to check."""

    kind = CredentialKind.CLIENT

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def __call__(
        self, _credential: ClientCredential, _attempt: LoginAttempt
    ) -> Authenticated:
        """A session of the client's own."""
        return Authenticated(acr=1, amr=Amr.APP, auth_time=self._clock.now())
