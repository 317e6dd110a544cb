"""Secrets that are planted, calls that carry them everywhere, and where they turn up."""

import base64
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from uuid import UUID

import asyncpg
import grpc
import redis

from tests.support.api import Api, basic, exchange_id
from tests.support.callers import Callers, Person
from tests.support.world import World
from tokenservice.v1 import client_service_pb2 as clients
from tokenservice.v1 import session_service_pb2 as sessions
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as users

_METHODS = (
    "/tokenservice.v1.TokenService/Exchange",
    "/tokenservice.v1.TokenService/Validate",
    "/tokenservice.v1.UserService/SetPassword",
    "/tokenservice.v1.TokenService/NoSuchMethod",
    "/no.such.Service/Method",
)


class Canaries:
    """Collects secrets as they come into being, and what was said in errors."""

    def __init__(self, world: World) -> None:
        self._hidden: set[str] = set()
        self._stored: set[str] = set()
        self.said: list[str] = []
        self.refused: list[str] = []
        for text in (*world.clients.values(), world.password):
            self.plant(text)
        for client_id, secret in world.clients.items():
            self.plant(basic(client_id, secret).removeprefix("Basic "))
        for entry in world.secret_keys.replace(",", "\n").split():
            self.plant(entry.partition(":")[2])
        for url in filter(None, (world.dsn, world.redis_url)):
            self.plant(url.partition("://")[2].partition("@")[0].rpartition(":")[2])

    def plant(self, secret: str) -> str:
        """From now on this must not be seen anywhere, nor what is derived from it."""
        assert len(secret) >= 12, "too short to be told from other text"
        self._hidden.add(secret)
        if secret.startswith("tsk_"):
            self._hidden.add(secret.split("_", 2)[2])
        elif secret.startswith("eyJ"):
            self._hidden |= set(secret.split(".")[1:])
        return secret

    def token_set(self, tokens: types.TokenSet) -> types.TokenSet:
        """Plant all tokens of the set."""
        for token in (tokens.session_token, *(one.token for one in tokens.access_tokens)):
            if token:
                self.plant(token)
        if tokens.session_token:
            payload = base64.urlsafe_b64decode(tokens.session_token.split("_", 2)[2])
            lookup_id = UUID(bytes=payload[4:20])
            self._stored |= {str(lookup_id), lookup_id.hex}
            self._hidden.add(payload[24:44].hex())  # what makes the token authentic
        return tokens

    async def refuse(self, call: Awaitable[Any]) -> None:
        """Remember all that the error says."""
        try:
            await call
        except grpc.aio.AioRpcError as error:
            metadata = [*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())]
            self.said.append(f"{error.code()} {error.details()} {metadata}")
            self.refused.append(error.code().name)

    def tokens(self) -> list[str]:
        """Those of the secrets that are tokens."""
        return [one for one in self._hidden if one.startswith(("tsk_", "eyJ"))]

    def seen_in(self, texts: Iterable[str], *, at_rest: bool = False) -> list[str]:
        """Beginnings of the secrets that occur. A session's lookup id is stored `at_rest`, for it
        is worth nothing without the rest of the token, but it is nowhere else."""
        whole = "\n".join(texts)
        forbidden = self._hidden if at_rest else self._hidden | self._stored
        forbidden |= {secret.encode().hex() for secret in forbidden}  # as bytes are written
        return [secret[:6] + "…" for secret in forbidden if secret in whole]


async def succeed(callers: Callers, canaries: Canaries) -> Person:
    """Use everything in the way that it is meant to be used."""
    person = await callers.new_person()
    canaries.plant(person.password)
    for client in ("web", "opaque", "rolling"):
        api = callers.client(client)
        first = canaries.token_set(await callers.log_in(person, client))
        credential = first.session_token or first.access_tokens[0].token
        once = exchange_id()
        canaries.plant(once.hex())
        second = canaries.token_set((await api.exchange(credential, once)).tokens)
        await api.exchange(credential, once)
        for tokens in (first, second):
            await callers.gateway.verdict(tokens.access_tokens[0].token)
        credential = second.session_token or second.access_tokens[0].token
        again = await api.tokens.Reauthenticate(
            pb.ReauthenticateRequest(
                token=credential,
                password=pb.PasswordCredential(username=person.username, password=person.password),
            ),
            metadata=api.metadata,
        )
        canaries.token_set(again.tokens)
        await api.revoke(token=again.tokens.session_token or again.tokens.access_tokens[0].token)
    await _change_secrets(callers, canaries, person)
    return person


async def _change_secrets(callers: Callers, canaries: Canaries, person: Person) -> None:
    web, admin = callers.web, callers.admin
    own = canaries.token_set(await callers.log_in(person))
    listing = sessions.ListSessionsRequest(session_token=own.session_token)
    await web.sessions.ListSessions(listing, metadata=web.metadata)
    password = users.SetPasswordRequest(
        session_token=own.session_token, new_password=person.password
    )
    await web.users.SetPassword(password, metadata=web.metadata)
    registered = await admin.clients.RegisterClient(
        clients.RegisterClientRequest(name="a client", contact="someone@example.com"),
        metadata=admin.metadata,
    )
    canaries.plant(registered.registration_secret)


async def fail(callers: Callers, canaries: Canaries, person: Person) -> None:
    """Put secrets where they do not belong, and use them in all wrong ways."""
    web, gateway, admin = callers.web, callers.gateway, callers.admin
    wrong = canaries.plant(secrets.token_urlsafe(24))
    await canaries.refuse(web.login(person.username, wrong, audiences=["orders"]))
    await canaries.refuse(web.login(wrong, person.password, audiences=["orders"]))
    await canaries.refuse(web.login(wrong, wrong * 60, audiences=["orders"]))
    await canaries.refuse(web.login(person.username, wrong + "\0", audiences=["orders"]))
    tokens = canaries.token_set(await callers.log_in(person))
    used, access = tokens.session_token, tokens.access_tokens[0].token
    canaries.token_set((await web.exchange(used)).tokens)
    misplaced: list[dict[str, Any]] = [
        {"audiences": [wrong]},
        {"scopes": [wrong]},
        {"audiences": [access]},
    ]
    for request in misplaced:
        await canaries.refuse(web.exchange(used, **request))
        await canaries.refuse(web.login(person.username, person.password, **request))
    await canaries.refuse(callers.client("mobile").exchange(used))
    await canaries.refuse(web.exchange(used, exchange_id()))  # reuse
    for bad in (f"tsk_web_{wrong}", used[:-1] + "A", used + "A", access + "x", wrong, access, used):
        canaries.plant(bad)
        await canaries.refuse(web.exchange(bad))
        await canaries.refuse(web.revoke(token=bad))
        await canaries.refuse(gateway.verdict(bad))
        await canaries.refuse(gateway.verdict(access, audience=bad))
        for target in ({"session_id": bad}, {"key_id": bad}, {"client_id": bad}, {"subject": bad}):
            await canaries.refuse(admin.revoke(**target))
        listing = sessions.ListSessionsRequest(session_token=bad, page_token=bad)
        await canaries.refuse(web.sessions.ListSessions(listing, metadata=web.metadata))
        setting = users.SetPasswordRequest(session_token=bad, new_password=wrong)
        await canaries.refuse(web.users.SetPassword(setting, metadata=web.metadata))
    await _fail_below_the_methods(callers, canaries, person, wrong)


async def _fail_below_the_methods(
    callers: Callers, canaries: Canaries, person: Person, wrong: str
) -> None:
    """Unknown methods, bytes that are no request, credentials that are none."""
    for name in _METHODS:
        method: Callable[..., Any] = callers.web.channel.unary_unary(name)
        for body in (person.password.encode() * 3, b"\x0a\xff" + wrong.encode()):
            await canaries.refuse(method(body, metadata=callers.web.metadata))
            await canaries.refuse(method(body, metadata=(("authorization", wrong),)))
    for authorization in (
        basic("demo-web", wrong),
        basic(wrong, wrong),
        f"Bearer {wrong}",
        f"Basic {wrong}",
    ):
        canaries.plant(authorization.partition(" ")[2])
        async with Api(callers.address, authorization) as stranger:
            await canaries.refuse(stranger.login(person.username, person.password))


async def miss_the_stores(callers: Callers, canaries: Canaries, person: Person) -> None:
    """The same while no store answers."""
    web = callers.web
    fresh = canaries.plant(secrets.token_urlsafe(24))
    await canaries.refuse(web.login(person.username, person.password, audiences=["orders"]))
    setting = users.SetPasswordRequest(user_id=person.user_id, new_password=fresh)
    admin = callers.admin
    await canaries.refuse(admin.users.SetPassword(setting, metadata=admin.metadata))
    making = users.CreateUserRequest(username=f"x{fresh.lower()}", password=fresh)
    await canaries.refuse(admin.users.CreateUser(making, metadata=admin.metadata))
    for token in sorted(canaries.tokens())[:12]:
        await canaries.refuse(web.exchange(token))
        await canaries.refuse(web.revoke(token=token))
        await canaries.refuse(callers.gateway.verdict(token))


async def rows_of(dsn: str) -> list[str]:
    """Every row of every table, as text."""
    conn = await asyncpg.connect(dsn)
    try:
        queries = await conn.fetch(
            "SELECT format('SELECT one::text AS text FROM %I one', tablename) AS text"
            " FROM pg_tables WHERE schemaname = 'public'"
        )
        return [row["text"] for query in queries for row in await conn.fetch(query["text"])]
    finally:
        await conn.close()


def values_of(url: str | None) -> list[str]:
    """Every key of Redis and what it holds, uncompressed."""
    assert url is not None
    with redis.from_url(url) as connection:
        connection.config_set("rdbcompression", "no")
        keys = list(connection.scan_iter())
        assert keys
        return [
            part.decode("latin-1")
            for key in keys
            for part in (key, connection.dump(key) or b"")  # it may have expired
        ]
