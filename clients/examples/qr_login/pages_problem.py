"""What people get instead of the page that they asked for."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response

from . import texts
from .here import wants_json
from .roles import Role

if TYPE_CHECKING:
    from starlette.exceptions import HTTPException
    from starlette.requests import Request

    from .here import Here, Site

_TITLE: Final = "That did not work"
_OF_STATUS: Final = {
    HTTPStatus.NOT_FOUND: ("Page not found", "There is no page at this address."),
    HTTPStatus.FORBIDDEN: (_TITLE, "That form was not sent from one of our own pages."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (_TITLE, "What you sent is too large."),
}


def refused(here: Here, text: str) -> Response:
    """Say why the service refused."""
    status = HTTPStatus.BAD_REQUEST
    if here.wants_json:
        return JSONResponse({"notice": text}, status)
    return here.render("problem.html", status, title=_TITLE, text=text, again="")


def unreachable(here: Here) -> Response:
    """Say that the service does not answer; the page goes on by itself when it does."""
    status, headers = HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": "1"}
    if here.wants_json:
        return JSONResponse({"notice": texts.UNREACHABLE}, status, headers)
    title = "The service does not answer"
    answer = here.render(
        "problem.html", status, title=title, text=texts.UNREACHABLE, again=here.again
    )
    if here.request.method != "GET":
        here.visit.notice = texts.notice(texts.NOT_KNOWN)
    answer.headers.update(headers)
    return answer


def not_served(site: Site, request: Request, error: HTTPException) -> Response:
    """Say why there is no such page, or why this one was not given."""
    title, text = _OF_STATUS.get(HTTPStatus(error.status_code), (_TITLE, texts.TRY_AGAIN))
    if wants_json(request):
        return JSONResponse({"notice": text}, error.status_code, error.headers)
    role: Role | None = None
    with suppress(ValueError):
        role = Role(request.url.path.split("/")[1])
    answer = site.render(
        "problem.html",
        error.status_code,
        role=role,
        roles=list(Role),
        notice=None,
        title=title,
        text=text,
        again="",
    )
    answer.headers.update(error.headers or {})
    return answer


async def answers(here: Here) -> Response:
    """Tell a page's script whether the service answers again."""
    there = await here.site.backend.patience.answers()
    return Response(status_code=HTTPStatus.NO_CONTENT if there else HTTPStatus.SERVICE_UNAVAILABLE)
