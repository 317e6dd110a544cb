"""The server that the causes call, with what several of them need."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tests.support.api import Api, basic
from tests.support.servers import ServerProcess
from tests.support.world import World
from token_service.app.parts import Parts
from token_service.app.usecases.offline import bootstrap_client
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.kinds import Permission, Platform
from token_service.usecases.demo import POLICIES
from tokenservice.v1 import client_service_pb2 as clients
from tokenservice.v1 import token_service_pb2 as tokens
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as users

if TYPE_CHECKING:
    import asyncpg

T = TypeVar("T")

WEB, GATEWAY, ADMIN = "demo-web", "demo-gateway", "demo-admin"
NOBODY = "nobody-at-all"
NO_ID = "b47ac10b-58cc-4372-a567-0e02b2c3d479"
NO_KEY = "0123456789abcdef"
PASSWORD = "correct horse battery"

APP = replace(
    POLICIES[WEB],
    platforms=frozenset({Platform.WEB, Platform.MOBILE, Platform.API}),
    permissions=POLICIES[WEB].permissions | {Permission.CODES},
    may_pair_for=frozenset(),
)
"""Of the client that most causes call as: it may have sessions of every kind."""

REGISTRANT = ClientPolicy(
    permissions=frozenset({Permission.CLIENTS_REGISTER, Permission.ADMIN_CLIENTS})
)


class Scene:
    """One seeded server and its database. What `once` makes is shared by all causes."""

    def __init__(
        self,
        world: World,
        server: ServerProcess,
        database: "asyncpg.Connection[asyncpg.Record]",
    ) -> None:
        self.world = world
        self.server = server
        self.address = server.address
        self.database = database
        self._apis: dict[str, Api] = {}
        self._made: dict[str, Any] = {}
        self._parts: Parts | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for api in self._apis.values():
            await api.channel.close()
        if self._parts is not None:
            await self._parts.close()

    def api(self, client_id: str) -> Api:
        """A client that is in use, as a caller."""
        if client_id not in self._apis:
            self._apis[client_id] = self.world.api(self.address, client_id)
        return self._apis[client_id]

    async def call(self, client_id: str, service: str, method: str, request: Any) -> Any:
        """Call `method` of the service at `Api.<service>`."""
        api = self.api(client_id)
        return await getattr(getattr(api, service), method)(request, metadata=api.metadata)

    async def once(self, name: str, make: "Callable[[Scene], Awaitable[T]]") -> T:
        """What `make` made, the first time and for all."""
        if name not in self._made:
            self._made[name] = await make(self)
        made: T = self._made[name]
        return made

    async def sql(self, statement: str, *values: object) -> None:
        """Change what no call can change."""
        await self.database.execute(statement, *values)

    # --- clients ---

    async def client(self, policy: ClientPolicy) -> str:
        """The id of a new client in use, written to the store as `client bootstrap` does it."""
        if self._parts is None:
            self._parts = await Parts.open(self.world.settings())
        client_id = f"client-{secrets.token_hex(4)}"
        made = await bootstrap_client(self._parts)(client_id, client_id, "", policy)
        self._apis[client_id] = Api(self.address, basic(client_id, made.client_secret))
        return client_id

    async def app(self) -> str:
        """The client that most causes call as."""
        return await self.once("app", lambda scene: scene.client(APP))

    async def registrant(self) -> str:
        """A client that registers others, and may review them as well."""
        return await self.once("registrant", lambda scene: scene.client(REGISTRANT))

    async def registered(self) -> clients.RegisterClientResponse:
        """A registration that nobody has reviewed."""
        request = clients.RegisterClientRequest(name="Shop", contact="ops@example.com")
        made: clients.RegisterClientResponse = await self.call(
            await self.registrant(), "clients", "RegisterClient", request
        )
        return made

    async def approved(self) -> clients.RegisterClientResponse:
        """A registration that was approved."""
        made = await self.registered()
        request = clients.ReviewClientRequest(client_id=made.client_id)
        request.approve.SetInParent()
        await self.call(ADMIN, "clients", "ReviewClient", request)
        return made

    async def pending(self) -> str:
        """The id of a client that nobody has reviewed."""
        return (await self.once("pending", Scene.registered)).client_id

    async def disabled(self) -> str:
        """The id of a client that was disabled."""
        return await self.once("disabled", _disabled)

    # --- people and sessions ---

    async def user(self) -> tuple[str, str]:
        """Id and name of a new user with PASSWORD."""
        name = f"u-{secrets.token_hex(6)}"
        request = users.CreateUserRequest(
            username=name, password=PASSWORD, roles=["sales", "accounting"]
        )
        made = await self.call(ADMIN, "users", "CreateUser", request)
        return made.user.user_id, name

    async def login(self, client_id: str = "", **request: Any) -> types.TokenSet:
        """A web session of the demo user."""
        api = self.api(client_id or await self.app())
        return await api.login(self.world.username, self.world.password, **request)

    async def live(self) -> str:
        """The token of a web session that no cause ends or exchanges."""
        return (await self.once("live", Scene.login)).session_token

    async def own(self, *audiences: str) -> types.TokenSet:
        """A session of the app itself."""
        request = tokens.IssueRequest(client=tokens.ClientCredential(), audiences=audiences)
        issued: tokens.IssueResponse = await self.call(await self.app(), "tokens", "Issue", request)
        return issued.tokens


Cause = Callable[[Scene], Awaitable[object]]


async def _disabled(scene: Scene) -> str:
    client_id = await scene.client(ClientPolicy())
    request = clients.DisableClientRequest(client_id=client_id)
    await scene.call(ADMIN, "clients", "DisableClient", request)
    return client_id
