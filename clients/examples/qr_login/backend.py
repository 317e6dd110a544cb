"""The token service as this gateway calls it: one connection per client, opened once."""

from __future__ import annotations

import json
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from tokenservice.client import TokenClient
from tokenservice.connection import Connection
from tokenservice.credentials import ClientSecret
from tokenservice.exchange_ids import DerivedExchangeId
from tokenservice.pairing import PairingClient

from .roles import AUDIENCE, Role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tokenservice.decision import Decision

GATEWAY_CLIENT = "demo-gateway"
"""The client that may check tokens for the audience; it can do nothing else with them."""

_CHECK_SECONDS: Final = 2.0
"""A person is waiting for the answer."""


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

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._open = AsyncExitStack()
        # The requests that a browser sends at the same time carry the same session token: they
        # get the same successor. Several processes would have to share this key.
        self._exchange_ids = DerivedExchangeId(secrets.token_bytes(32))
        self._tokens: dict[Role, TokenClient] = {}
        self._pairings: dict[Role, PairingClient] = {}
        self._checks: TokenClient | None = None

    async def __aenter__(self) -> Self:
        for role in Role:
            connection = await self._connected(role.client_id)
            self._tokens[role] = TokenClient(connection, exchange_ids=self._exchange_ids)
            self._pairings[role] = PairingClient(connection)
        self._checks = TokenClient(await self._connected(GATEWAY_CLIENT))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def tokens(self, role: Role) -> TokenClient:
        """Give the client for a role's sessions."""
        return self._tokens[role]

    def pairings(self, role: Role) -> PairingClient:
        """Give the client for a role's side of pairings."""
        return self._pairings[role]

    async def validate(self, access_token: str) -> Decision:
        """Decide about an access token, as in front of any API. Raises TokenServiceError."""
        if self._checks is None:
            raise RuntimeError("the backend is not open")
        return await self._checks.validate(access_token, audience=AUDIENCE, timeout=_CHECK_SECONDS)

    async def _connected(self, client_id: str) -> Connection:
        secret = ClientSecret(client_id, self._credentials.clients[client_id])
        connection = Connection(self._credentials.address, secret, channels=2)
        return await self._open.enter_async_context(connection)
