"""An API behind the token service, with Starlette: `python gateway_asgi.py`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route as Endpoint

from tokenservice import PUBLIC, Connection, Route, Validator
from tokenservice.middleware.asgi import TokenMiddleware

connection = Connection.from_env()  # TOKEN_SERVICE_SERVER, …_CLIENT_ID, …_CLIENT_SECRET
validator = Validator(connection)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Follow the trust feed while the application runs."""
    async with connection, validator:
        yield


async def orders(request: Request) -> JSONResponse:
    """Say who is calling."""
    return JSONResponse({"caller": request.state.principal.subject})


async def health(_: Request) -> PlainTextResponse:
    """Say whether tokens are decided on here at the moment."""
    return PlainTextResponse("local" if validator.fresh else "asking the service")


ROUTES = {
    "GET /orders": Route(scopes=["orders.read"]),
    "POST /orders": Route(scopes=["orders.write"], max_auth_age=timedelta(hours=1)),
    "GET /health": PUBLIC,
}
guard = Middleware(TokenMiddleware, validator=validator, audience="orders", routes=ROUTES)
endpoints = [Endpoint("/orders", orders, methods=["GET", "POST"]), Endpoint("/health", health)]
app = Starlette(routes=endpoints, middleware=[guard], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
