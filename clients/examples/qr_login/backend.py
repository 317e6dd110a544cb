"""The token service as this gateway calls it: one connection per client, opened once."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from tokenservice import (
    ClientSecret,
    Connection,
    PairingClient,
    TokenClient,
    TokenServiceError,
    Unreachable,
    Validator,
)

from .patience import SECONDS, Patience
from .roles import AUDIENCE, Role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GATEWAY_CLIENT = "demo-gateway"
"""The client that may check tokens for the audience; it can do nothing else with them."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the token service is, and the secrets of its clients by client id."""

    address: str
    clients: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the ``credentials.json`` of a development server. Raises OSError, ValueError."""
        content = json.loads(path.read_bytes())
        clients = {one["client_id"]: one["client_secret"] for one in content["clients"].values()}
        return cls(content["grpc"], clients)


class Backend:
    """The clients of the token service. Use it as an async context manager."""

    def __init__(self, credentials: Credentials, patience: float = SECONDS) -> None:
        self._credentials = credentials
        self.patience = Patience(self._answers, patience)
        """Waits for the service, unless that does not answer."""
        self._open = AsyncExitStack()
        self._tokens: dict[Role, TokenClient] = {}
        self._pairings: dict[Role, PairingClient] = {}
        self._checks: TokenClient | None = None
        self._validator: Validator | None = None

    async def __aenter__(self) -> Self:
        for role in Role:
            connection = await self._connected(role.client_id)
            # The requests that a browser sends at the same time carry the same session token: they
            # get the same successor, by the ids that this client makes.
            self._tokens[role] = TokenClient(connection)
            self._pairings[role] = PairingClient(connection)
        connection = await self._connected(GATEWAY_CLIENT)
        self._checks = TokenClient(connection)
        self._validator = await self._open.enter_async_context(Validator(connection))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def tokens(self, role: Role) -> TokenClient:
        """Give the client for a role's sessions."""
        return self._tokens[role]

    def pairings(self, role: Role) -> PairingClient:
        """Give the client for a role's side of pairings."""
        return self._pairings[role]

    @property
    def validator(self) -> Validator:
        """Decides about access tokens, as in front of any API: in this process, from the trust log
        that it follows. A session that was ended elsewhere is refused within milliseconds.
        """
        if self._validator is None:
            raise RuntimeError("the backend is not open")
        return self._validator

    async def _answers(self, within: float) -> bool:
        """Ask about what is no token: any answer will do, and this one needs no store."""
        if self._checks is None:
            return False
        try:
            await self._checks.validate("?", audience=AUDIENCE, timeout=timedelta(seconds=within))
        except Unreachable:
            return False
        except TokenServiceError:
            return True
        return True

    async def _connected(self, client_id: str) -> Connection:
        secret = ClientSecret(client_id, self._credentials.clients[client_id])
        connection = Connection(self._credentials.address, secret, channels=2)
        return await self._open.enter_async_context(connection)
