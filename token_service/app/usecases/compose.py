"""All use cases of a server."""

from dataclasses import dataclass

from token_service.app.parts import Parts
from token_service.app.usecases.clients import ClientUseCases, clients
from token_service.app.usecases.codes import CodeUseCases, codes
from token_service.app.usecases.keys import KeyUseCases, keys
from token_service.app.usecases.login import LoginUseCases, login
from token_service.app.usecases.pairing import PairingUseCases, pairing
from token_service.app.usecases.sessions import SessionUseCases, sessions
from token_service.app.usecases.shared import Shared, share
from token_service.app.usecases.tokens import TokenUseCases, tokens
from token_service.app.usecases.users import UserUseCases, users
from token_service.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """What a server can do, whichever door asks for it."""

    clients: ClientUseCases
    codes: CodeUseCases
    keys: KeyUseCases
    login: LoginUseCases
    pairing: PairingUseCases
    sessions: SessionUseCases
    shared: Shared
    tokens: TokenUseCases
    users: UserUseCases


def compose_usecases(settings: Settings, parts: Parts) -> UseCases:
    """Compose them, once for a server."""
    shared = share(parts)
    of_keys = keys(settings, parts)
    of_tokens = tokens(parts, shared, of_keys.compromise)
    return UseCases(
        clients=clients(settings, parts, shared, of_tokens.validate),
        codes=codes(settings, parts),
        keys=of_keys,
        login=login(settings, parts, shared),
        pairing=pairing(parts, shared),
        sessions=sessions(parts, shared),
        shared=shared,
        tokens=of_tokens,
        users=users(parts, shared),
    )
