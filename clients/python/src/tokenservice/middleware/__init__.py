"""Middleware: an application sees a request only when its token may do what the route demands.

The modules are :mod:`~tokenservice.middleware.asgi` (Starlette, FastAPI, any ASGI application),
:mod:`~tokenservice.middleware.fastapi` (a dependency per route),
:mod:`~tokenservice.middleware.wsgi` (Flask, Django), :mod:`~tokenservice.middleware.grpc_aio` and
:mod:`~tokenservice.middleware.grpc_sync`. What they have in common is here: a route that nobody
named is refused, and a token is neither logged nor repeated in an answer.
"""

from tokenservice.middleware._bearer import CookieAuth
from tokenservice.middleware._common import Refusal, current_principal
from tokenservice.middleware._routes import PUBLIC, Route, RouteTable

__all__ = ["PUBLIC", "CookieAuth", "Refusal", "Route", "RouteTable", "current_principal"]
