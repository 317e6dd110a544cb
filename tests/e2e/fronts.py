"""Applications of three frameworks behind the middleware, each on a real web server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Annotated, Any

import flask
import uvicorn
import waitress.server  # type: ignore[import-untyped]
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Endpoint
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from tests.support.waiting import PATIENCE
from tests.support.world import World
from tokenservice import (
    PUBLIC,
    ClientSecret,
    Connection,
    CookieAuth,
    Principal,
    Route,
    SyncConnection,
    SyncValidator,
    Validator,
)
from tokenservice.middleware import asgi, wsgi
from tokenservice.middleware.fastapi import protect, require

OUTAGE = 1.0
"""Staleness limit in seconds for tests of an outage; the server's heartbeats take longer."""

RECHECK = timedelta(milliseconds=50)

READ = Route(scopes=["orders.read"])
PAY = Route(max_auth_age=timedelta(seconds=600))
ROUTES = {
    "GET /orders": READ,
    "POST /orders": Route(scopes=["orders.write"]),
    "GET /admin": Route(scopes=["orders.admin"]),
    "GET /billing": Route(audience="billing"),
    "POST /payments": PAY,
    "WEBSOCKET /feed": READ,
    "GET /health": PUBLIC,
}


def credentials(world: World) -> ClientSecret:
    """Those of the demo gateway, which protects both audiences."""
    return ClientSecret("demo-gateway", world.clients["demo-gateway"])


class Serving:
    """An ASGI application on uvicorn, in a thread of its own."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(app, "127.0.0.1", 0, log_config=None, lifespan="on")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> str:
        self._thread.start()
        ready = threading.Event()
        while not self._server.started:
            assert self._thread.is_alive(), "uvicorn did not start"
            ready.wait(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)


class _Validated:
    """A validator whose connection lives as long as the application."""

    def __init__(self, world: World, address: str, staleness: float) -> None:
        self._connection = Connection(address, credentials(world))
        self.validator = Validator(self._connection, staleness_limit=timedelta(seconds=staleness))

    @asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._connection)
            await stack.enter_async_context(self.validator)
            assert await self.validator.wait_ready(timedelta(seconds=PATIENCE))
            yield


@contextmanager
def starlette(world: World, address: str, staleness: float = 5.0) -> Iterator[str]:
    """The ASGI middleware around Starlette."""
    validated = _Validated(world, address, staleness)

    async def caller(request: Request) -> Response:
        return JSONResponse({"subject": request.state.principal.subject})

    async def health(_: Request) -> Response:
        return JSONResponse({})

    async def feed(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.state.principal.subject)
        await asyncio.sleep(60)

    app = Starlette(
        routes=[
            Endpoint("/orders", caller, methods=["GET", "POST"]),
            Endpoint("/admin", caller),
            Endpoint("/billing", caller),
            Endpoint("/payments", caller, methods=["POST"]),
            Endpoint("/health", health),
            WebSocketRoute("/feed", feed),
        ],
        lifespan=validated.lifespan,
        middleware=[
            Middleware(
                asgi.TokenMiddleware,
                validator=validated.validator,
                audience="orders",
                routes=ROUTES,
                cookie=CookieAuth(),
                recheck_every=RECHECK,
            )
        ],
    )
    with Serving(app) as served:
        yield served


@contextmanager
def fastapi(world: World, address: str, staleness: float = 5.0) -> Iterator[str]:
    """FastAPI's dependency, route by route."""
    validated = _Validated(world, address, staleness)
    app = FastAPI(lifespan=validated.lifespan)
    protect(app, validated.validator, audience="orders", cookie=CookieAuth())

    def add(method: str, path: str, **demands: Any) -> None:
        async def endpoint(
            caller: Annotated[Principal, Depends(require(**demands))],
        ) -> dict[str, str]:
            return {"subject": caller.subject}

        app.add_api_route(path, endpoint, methods=[method])

    add("GET", "/orders", scopes=["orders.read"])
    add("POST", "/orders", scopes=["orders.write"])
    add("GET", "/admin", scopes=["orders.admin"])
    add("GET", "/billing", audience="billing")
    add("POST", "/payments", max_auth_age=timedelta(minutes=10))

    @app.get("/health")
    async def health() -> None:
        return None

    with Serving(app) as served:
        yield served


@contextmanager
def flask_on_waitress(world: World, address: str, staleness: float = 5.0) -> Iterator[str]:
    """The WSGI middleware around Flask."""
    app = flask.Flask(__name__)

    def caller() -> dict[str, str]:
        return {"subject": flask.request.environ["tokenservice.principal"].subject}

    for path, methods in (
        ("/orders", ["GET", "POST"]),
        ("/admin", ["GET"]),
        ("/billing", ["GET"]),
        ("/payments", ["POST"]),
    ):
        app.add_url_rule(path, path, caller, methods=methods)
    app.add_url_rule("/health", "/health", dict)

    with (
        SyncConnection(address, credentials(world)) as connection,
        SyncValidator(connection, staleness_limit=timedelta(seconds=staleness)) as validator,
    ):
        assert validator.wait_ready(timedelta(seconds=PATIENCE))
        guarded = wsgi.TokenMiddleware(
            app, validator=validator, audience="orders", routes=ROUTES, cookie=CookieAuth()
        )
        server = waitress.server.create_server(guarded, host="127.0.0.1", port=0, threads=4)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield f"127.0.0.1:{server.effective_port}"
        finally:
            server.trigger.pull_trigger(server.close)  # in the thread that polls its sockets
            thread.join(PATIENCE)
            assert not thread.is_alive()


FRONTS = {"starlette": starlette, "fastapi": fastapi, "flask": flask_on_waitress}
