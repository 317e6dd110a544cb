"""The snippets of the client package's README run, on what the sentences around them suppose.

Each play brings the names that its snippet takes for granted (`validator`, `app`, `token`), runs
the text as it stands in the document but for addresses and paths, and looks at what came of it.
"""

import ast
import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route as Endpoint

from tests.conftest import Stores
from tests.e2e.desk import Desk, Page
from tests.support.certificates import issue
from tests.support.clients import secret_of
from tests.support.devices import PC
from tests.support.documents import CLIENT_README, Block, blocks
from tests.support.fixtures import SEEDED
from tests.support.servers import ROOT, ServerProcess
from tests.support.world import World
from tokenservice import Device, TokenClient, TokenSource, Validator
from tokenservice.core import Verdict
from tokenservice.middleware.asgi import TokenMiddleware

SNIPPETS = blocks(CLIENT_README, "")
ADDRESS = "tokens.internal:50051"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(seeded: World, embedded: Stores) -> AsyncIterator[tuple[World, ServerProcess]]:
    """A server with Redis, for pairings."""
    dsn = embedded.postgres.create_database("client_readme", template=SEEDED)
    world = seeded.moved_to(dsn, embedded.valkey.url)
    server = ServerProcess(world.environment())
    yield world, server
    server.kill()
    embedded.postgres.drop_database("client_readme")


@pytest_asyncio.fixture(loop_scope="session")
async def desk(served: tuple[World, ServerProcess], tmp_path: Path) -> AsyncIterator[Desk]:
    world, server = served
    made = Desk(world, server.address, tmp_path)
    async with made.open:
        yield made


async def connections(desk: Desk, block: Block) -> None:
    authority = issue("authority")
    own = issue("shop-gateway", authority)
    for name, content in {
        "secret": desk.world.clients["demo-gateway"].encode(),
        "ca.pem": authority.certificate,
        "tls.crt": own.certificate,
        "tls.key": own.key,
    }.items():
        (desk.folder / name).write_bytes(content)
    names = await desk.run(block, {}, **{"/etc/tokens": str(desk.folder)})
    async with names["connection"]:
        pass


async def routes(desk: Desk, block: Block) -> None:
    names = await desk.run(block, {})
    assert len(names["ROUTES"]) == 4


async def asgi(desk: Desk, block: Block) -> None:
    async def orders(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.state.principal.subject)

    app = Starlette(routes=[Endpoint("/orders/{id}", orders)])
    names = {**await desk.routes(), "app": app, "validator": await desk.validator()}
    await desk.run(block, names)
    assert await statuses(httpx.ASGITransport(app=names["app"]), desk, "/orders/1") == (200, 401)


async def fastapi(desk: Desk, block: Block) -> None:
    app = FastAPI()
    await desk.run(block, {"app": app, "validator": await desk.validator()})
    assert await statuses(httpx.ASGITransport(app=app), desk, "/orders") == (200, 401)


async def fastapi_by_table(desk: Desk, block: Block) -> None:
    app = FastAPI()
    app.add_api_route("/orders/{id}", lambda: "an order")
    shared = {"app": app, "TokenMiddleware": TokenMiddleware}
    await desk.run(block, {**await desk.routes(), **shared, "validator": await desk.validator()})
    assert await statuses(httpx.ASGITransport(app=app), desk, "/orders/1") == (200, 401)
    operation = app.openapi()["paths"]["/orders/{id}"]["get"]
    assert operation["security"] == [{"TokenService": ["orders.read"]}]


async def statuses(transport: httpx.AsyncBaseTransport, desk: Desk, path: str) -> tuple[int, int]:
    """What a caller with a token gets, and one without."""
    headers = {"authorization": f"Bearer {await desk.access()}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://orders.test") as http:
        allowed, refused = await http.get(path, headers=headers), await http.get(path)
    return allowed.status_code, refused.status_code


async def wsgi(desk: Desk, block: Block) -> None:
    app = Flask("orders")
    app.add_url_rule("/orders/<order>", view_func=lambda order: order)
    credentials = secret_of(desk.world, "demo-gateway")
    names = {**await desk.routes(), "app": app, "credentials": credentials, "tls": None}
    await desk.run(block, names, **{ADDRESS: desk.address})
    headers = {"authorization": f"Bearer {await desk.access()}"}

    def call() -> tuple[int, int]:
        transport = httpx.WSGITransport(app=app)
        with httpx.Client(transport=transport, base_url="http://orders.test") as http:
            allowed, refused = http.get("/orders/1", headers=headers), http.get("/orders/1")
            return allowed.status_code, refused.status_code

    try:
        assert await asyncio.to_thread(call) == (200, 401)
    finally:
        await asyncio.to_thread(names["validator"].close)
        await asyncio.to_thread(names["connection"].close)


async def grpc_server(desk: Desk, block: Block) -> None:
    names = {**await desk.routes(), "validator": await desk.validator()}

    async def get(request: bytes, _: object) -> bytes:
        return request

    handlers: dict[str, Any] = {"Get": grpc.unary_unary_rpc_method_handler(get)}
    server = (await desk.run(block, names))["server"]
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("orders.v1.Orders", handlers)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary("/orders.v1.Orders/Get")
        bearer = (("authorization", f"Bearer {await desk.access()}"),)
        assert await call(b"an order", metadata=bearer) == b"an order"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"")
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    await server.stop(None)


async def validating(desk: Desk, block: Block) -> None:
    served: list[object] = []
    answered: list[object] = []
    names = {
        "validator": await desk.validator(),
        "serve": served.append,
        "respond": lambda *answer: answered.append(answer),
    }
    for token in (await desk.access(), "no token"):
        await desk.run(block, {**names, "token": token})
    assert len(served) == 1
    assert answered == [(401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})]


async def knowing_of_a_revocation(desk: Desk, block: Block) -> None:
    client = TokenClient(await desk.connection("demo-web"))
    names: dict[str, Any] = {"client": client, "validator": await desk.validator()}
    names["token"] = await desk.access()
    await desk.run(block, names)
    assert names["decision"].verdict is Verdict.REVOKED


async def counting(desk: Desk, block: Block) -> None:
    connection = await desk.connection("demo-gateway")
    names = await desk.run(block, {"Validator": Validator, "connection": connection})
    async with names["validator"] as validator:
        assert (await validator.validate(await desk.access(), audience="orders")).active
    assert [count for (what, *_), count in names["counts"].items() if what == "ACTIVE"] == [1]


async def calling_with_grpc(desk: Desk, block: Block) -> None:
    client = TokenClient(await desk.connection("demo-api"))
    source = await desk.open.enter_async_context(TokenSource(client, "orders"))
    names = await desk.run(block, {"source": source})
    await names["channel"].close()


async def keeping_sessions(desk: Desk, block: Block) -> None:
    names: dict[str, Any] = {
        "connection": await desk.connection("demo-web"),
        "session_cookie": (await desk.log_in()).session_token,
    }
    kept = str(desk.folder / "session.json")
    await desk.run(block, names, **{"/var/lib/report/session.json": kept})
    assert [one.audience for one in names["tokens"].access_tokens] == ["orders"]


async def pairing(desk: Desk, block: Block) -> None:
    names: dict[str, Any] = {"connection": await desk.connection("demo-web")}
    names["pc"] = Device(device_id=PC.device_id, name=PC.name)
    names["page"] = page = Page(desk, names)
    await desk.run(block, names)
    await page.done()
    assert names["tokens"].session_token.startswith("tsk_web_")


async def codes(desk: Desk, block: Block) -> None:
    class Person(dict[str, Any]):
        """Types what was sent to them."""

        def __missing__(self, name: str) -> str:
            if name != "typed":
                raise KeyError(name)
            return str(self["issued"].code)

    names = {"connection": await desk.connection("demo-admin"), "address": "ana@example.com"}
    person = Person(names)
    code = compile(block.code, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, {}, person)  # noqa: S307 - it is our own
    assert person["redeemed"].uses_left == 0


async def administering(desk: Desk, block: Block) -> None:
    connection = await desk.connection("demo-admin")
    names = {"connection": connection, "first_password": "correct horse battery staple"}
    names |= await desk.run(block, {**names, "next_page_token": ""}, **{"shop-gateway": "demo-api"})
    assert names["ana"] in names["everybody"]
    assert names["everybody"] == list(names["page"].items)
    assert names["rotated"].client.client_id == "demo-api"
    assert names["key"].purpose.name == "SIGNING"


async def kit_for_tests(desk: Desk, block: Block) -> None:
    names = await desk.run(block, {})
    decision = await names["validator"].validate(names["token"], audience="orders")
    assert not decision.active


Play = Callable[[Desk, Block], Awaitable[None]]

PLAYS: Mapping[str, Play] = {
    "import ClientSecretFile": connections,
    "import PUBLIC, CookieAuth, Route": routes,
    "from tokenservice.middleware.asgi import": asgi,
    "from tokenservice.middleware.fastapi import protect, require": fastapi,
    "from tokenservice.middleware.fastapi import describe": fastapi_by_table,
    "from tokenservice.middleware.wsgi import": wsgi,
    "from tokenservice.middleware.grpc_aio import": grpc_server,
    'validate(token, audience="orders", scopes=': validating,
    "revoked = await client.revoke(token=token)": knowing_of_a_revocation,
    "from tokenservice import ValidatorEvents": counting,
    "from tokenservice import call_credentials": calling_with_grpc,
    "from tokenservice import FileTokenStore, StoredSession": keeping_sessions,
    "from tokenservice import PairingClient": pairing,
    "from tokenservice import CodeClient": codes,
    "import ClientAdmin, KeyAdmin": administering,
    "from tokenservice.testing import Issuer": kit_for_tests,
}
"""What plays a snippet, by something that it alone says."""


@pytest.mark.parametrize("block", SNIPPETS, ids=lambda block: block.place)
async def test_a_snippet(desk: Desk, block: Block) -> None:
    assert block.language == "python"
    plays = [play for said, play in PLAYS.items() if said in block.code]
    assert len(plays) == 1, f"nothing plays {block.place}"
    await plays[0](desk, block)


def test_each_play_has_its_snippet() -> None:
    assert [said for said in PLAYS if not any(said in one.code for one in SNIPPETS)] == []


def test_what_is_installed(tmp_path: Path) -> None:
    """From the folder of the package, in place of a registry."""
    [block] = blocks(CLIENT_README, "installing")
    command, _, extras = block.code.partition("#")
    assert command.split() == ["pip", "install", "token-service-client"]
    named = set(extras.partition("extras:")[2].replace(",", " ").split())
    declared = (ROOT / "clients/python/pyproject.toml").read_text()
    section = declared.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    assert named == {line.partition(" = ")[0] for line in section.splitlines() if " = " in line}
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--target", str(tmp_path / "site")]
    subprocess.run([*pip, *offline, str(ROOT / "clients" / "python")], check=True)
    assert (tmp_path / "site" / "tokenservice" / "_sessions" / "client.py").is_file()
