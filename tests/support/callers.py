"""The demo clients as callers of one server, and people who log in with them."""

import secrets
from dataclasses import dataclass, field
from typing import Self

from tests.support.api import Api
from tests.support.world import World
from tokenservice.v1 import client_service_pb2 as clients
from tokenservice.v1 import token_service_pb2 as tokens
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as users

ROLES = ("accounting", "sales")


@dataclass(frozen=True, slots=True)
class Person:
    """A user made for one test, so that no other test's failures count against it."""

    user_id: str
    username: str
    password: str = field(repr=False)


class Callers:
    """Each client calls over a connection of its own, opened when it is first used."""

    def __init__(self, world: World, address: str) -> None:
        self.world = world
        self.address = address
        self._apis: dict[str, Api] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        apis, self._apis = self._apis, {}
        for api in apis.values():
            await api.channel.close()

    def client(self, name: str) -> Api:
        """The client `demo-<name>`."""
        if name not in self._apis:
            self._apis[name] = self.world.api(self.address, f"demo-{name}")
        return self._apis[name]

    @property
    def web(self) -> Api:
        """Logs people in."""
        return self.client("web")

    @property
    def gateway(self) -> Api:
        """Validates."""
        return self.client("gateway")

    @property
    def admin(self) -> Api:
        """May do everything."""
        return self.client("admin")

    async def new_person(self, *roles: str) -> Person:
        """Create a user."""
        username, password = f"u-{secrets.token_hex(8)}", secrets.token_urlsafe(16)
        request = users.CreateUserRequest(
            username=username, password=password, roles=roles or ROLES
        )
        made = await self.admin.users.CreateUser(request, metadata=self.admin.metadata)
        return Person(made.user.user_id, username, password)

    async def log_in(self, person: Person, client: str = "web") -> types.TokenSet:
        """A session for `orders`."""
        platform = types.PLATFORM_MOBILE if client == "mobile" else types.PLATFORM_WEB
        return await self.client(client).login(
            person.username, person.password, platform=platform, audiences=["orders"]
        )

    async def own_session(self) -> types.TokenSet:
        """A session of the client demo-api itself: no password is hashed for it."""
        api = self.client("api")
        request = tokens.IssueRequest(
            client=tokens.ClientCredential(), platform=types.PLATFORM_API, audiences=["orders"]
        )
        return (await api.tokens.Issue(request, metadata=api.metadata)).tokens

    async def disable_user(self, user_id: str) -> int:
        """The revision of it."""
        done = await self.admin.users.DisableUser(
            users.DisableUserRequest(user_id=user_id), metadata=self.admin.metadata
        )
        return done.revision

    async def enable_user(self, user_id: str) -> None:
        """Let the user log in again."""
        await self.admin.users.EnableUser(
            users.EnableUserRequest(user_id=user_id), metadata=self.admin.metadata
        )

    async def disable_client(self, client_id: str) -> int:
        """The revision of it."""
        done = await self.admin.clients.DisableClient(
            clients.DisableClientRequest(client_id=client_id), metadata=self.admin.metadata
        )
        return done.revision

    async def enable_client(self, client_id: str) -> None:
        """Let the client call again."""
        await self.admin.clients.EnableClient(
            clients.EnableClientRequest(client_id=client_id), metadata=self.admin.metadata
        )
