"""An issuer in this process, and an application behind the ASGI middleware."""

from typing import Any

import pytest

from tests.unit.client.asgi_app import ROUTES, App, Wrap
from tests.unit.client.judges import Judge
from tokenservice.middleware.asgi import TokenMiddleware
from tokenservice.testing import Issuer


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(audience="orders")


@pytest.fixture
def judge(issuer: Issuer) -> Judge:
    return Judge(issuer)


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def wrap(app: App, judge: Judge) -> Wrap:
    def make(inner: Any = app, routes: Any = ROUTES, **settings: Any) -> TokenMiddleware:
        return TokenMiddleware(inner, validator=judge, audience="orders", routes=routes, **settings)

    return make
