"""The ASGI application: which page is where, and what every page has in common."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tokenservice import Reason, SessionOver, TokenServiceError, Unreachable

from . import pages_account, pages_pairing, pages_problem, pages_scan, sessions, texts
from .backend import Backend
from .guard import Guard, from_our_pages
from .here import Here, Site
from .patience import SECONDS, NoAnswer
from .roles import Role
from .visits import Visits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine

    from starlette.requests import Request
    from starlette.responses import Response

    from .backend import Credentials

Handler: TypeAlias = "Callable[[Here], Coroutine[Any, Any, Response]]"

_FOLDER: Final = Path(__file__).parent

_GET: Final[dict[str, Handler]] = {
    "": pages_account.home,
    "login": pages_account.show_login,
    "confirm": pages_account.show_confirm,
    "scan": pages_scan.show,
    "pairing": pages_pairing.show,
    "pairing/qr.svg": pages_pairing.picture,
    "pairing/events": pages_pairing.events,
    "answers": pages_problem.answers,
}
_POST: Final[dict[str, Handler]] = {
    "login": pages_account.log_in,
    "confirm": pages_account.confirm,
    "logout": pages_account.log_out,
    "devices/sign-out": pages_account.sign_out_device,
    "devices/sign-out-others": pages_account.sign_out_others,
    "scan": pages_scan.scan,
    "pairing/start": pages_pairing.start,
    "pairing/approve": pages_pairing.approve,
    "pairing/deny": pages_pairing.deny,
    "pairing/cancel": pages_pairing.cancel,
    "pairing/collect": pages_pairing.collect,
}


def create_app(credentials: Credentials, origin: str, patience: float = SECONDS) -> Starlette:
    """Make the application, to be reached at ``origin``; it calls the service once it starts.

    A page says that the service does not answer after twice ``patience`` seconds.
    """
    backend = Backend(credentials, patience)
    pages = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    site = Site(origin, backend, Visits(), pages)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
        async with backend:
            yield

    routes = [
        Route("/", _start),
        Mount("/static", StaticFiles(directory=_FOLDER / "static")),
        Route("/pair/{rest:path}", _link),
        *(Route(_path(page), _get(site, handler)) for page, handler in _GET.items()),
        *(
            Route(_path(page), _post(site, handler), methods=["POST"])
            for page, handler in _POST.items()
        ),
    ]

    async def not_served(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return pages_problem.not_served(site, request, error)

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Guard, origin=origin)],
        exception_handlers={HTTPException: not_served},
    )
    app.state.backend = backend
    return app


def _path(page: str) -> str:
    return f"/{{role}}/{page}".rstrip("/")


async def _start(_: Request) -> Response:
    return RedirectResponse(Role.PC.path())


async def _link(_: Request) -> Response:
    """Where QR codes may lead that are opened as links: nowhere. Nothing is scanned."""
    return PlainTextResponse(
        "This link does nothing. Open the app on your phone, sign in, and scan the QR code there."
    )


def _get(site: Site, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        here = Here.enter(site, request, _role(request), FormData())
        return await _answer(here, handler)

    return endpoint


def _post(site: Site, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if not from_our_pages(request, site.origin):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        async with request.form(max_files=1, max_fields=8) as form:
            here = Here.enter(site, request, _role(request), form)
            if not here.visit.csrf_matches(here.text("csrf")):
                return here.leave(here.go("", texts.FORM_EXPIRED))
            return await _answer(here, handler)

    return endpoint


def _role(request: Request) -> Role:
    try:
        return Role(request.path_params["role"])
    except ValueError:
        raise HTTPException(HTTPStatus.NOT_FOUND) from None


async def _answer(here: Here, handler: Handler) -> Response:
    try:
        try:
            response = await here.site.backend.patience.wait(handler(here))
        except TokenServiceError as error:
            if error.reason is not Reason.TOKEN_SUPERSEDED and not isinstance(error, SessionOver):
                raise
            # Another request exchanged the token meanwhile, or the session is over.
            await here.site.backend.patience.wait(sessions.renew(here))
            response = here.go("", texts.TRY_AGAIN)
    except sessions.LoginNeeded as needed:
        sessions.forget(here)
        response = here.go("login", needed.notice)
    except (NoAnswer, sessions.NotAnswered, Unreachable):
        response = pages_problem.unreachable(here)
    except TokenServiceError as error:
        response = pages_problem.refused(here, texts.refused(error))
    return here.leave(response)
