"""One verifier for each kind of credential; all of them come to an `Authenticated`.

A new kind has its verifier, a value in `CredentialKind` that policies can allow, its mapping, and
its place in `app.usecases.login`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from token_service.domain.clients.caller import Caller
from token_service.domain.kinds import CredentialKind
from token_service.domain.login.authenticated import Authenticated

C_contra = TypeVar("C_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """Who brings the credential, and from where: `address` is the browser's, as its gateway
    reported it. Where one user is `due`, the credential of another is as wrong as any."""

    caller: Caller
    address: str = ""
    due: UUID | None = None


class Verifier(Protocol[C_contra]):
    """Checks one kind of credential."""

    @property
    def kind(self) -> CredentialKind:
        """The kind, as policies name it."""
        ...

    async def __call__(self, credential: C_contra, attempt: LoginAttempt, /) -> Authenticated:
        """Who it is. Raises CREDENTIALS_INVALID when the credential is wrong, whatever is wrong
        with it, and what the verifier says besides."""
        ...


class Verifiers:
    """The verifiers of a server, by the credential's class."""

    def __init__(self, verifiers: Mapping[type, Verifier[Any]]) -> None:
        self._verifiers = dict(verifiers)

    def of(self, credential: object) -> Verifier[Any]:
        """The one that checks it. KeyError where the composition forgot one."""
        return self._verifiers[type(credential)]
