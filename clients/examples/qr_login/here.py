"""One request: whose browser, which device, what it sent, and the cookies of the answer."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse

from . import texts
from .devices import device_of
from .visits import Visit

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from tokenservice import Device, PairingClient, TokenClient

    from .backend import Backend
    from .roles import Role
    from .visits import Visits

# The prefix has browsers take them only with Secure, Path=/ and no Domain (RFC 6265bis): no other
# host, and nobody without TLS, can plant one. localhost counts as safe.
_VISIT: Final = "__Host-visit"
_DEVICE: Final = "__Host-device"
_DEVICE_SECONDS: Final = 365 * 24 * 3600


def wants_json(request: Request) -> bool:
    """Whether a script asked, and not the browser for a page."""
    return request.headers.get("accept") == "application/json"


@dataclass(frozen=True, slots=True)
class Site:
    """What all requests share."""

    origin: str
    backend: Backend
    visits: Visits
    pages: Environment

    def render(self, page: str, status: int, **values: object) -> HTMLResponse:
        """Give a page."""
        return HTMLResponse(self.pages.get_template(page).render(values), status)


@dataclass(slots=True)
class Here:
    """A request of one device, and what its answer will carry."""

    site: Site
    request: Request
    role: Role
    visit: Visit
    form: FormData
    _visit_cookie: str
    _device_cookie: str
    _cookies: dict[str, tuple[str, int | None]] = field(default_factory=dict)

    @classmethod
    def enter(cls, site: Site, request: Request, role: Role, form: FormData) -> Here:
        """Find the browser's visit, or begin one."""
        cookie = request.cookies.get(_VISIT, "")
        visit = site.visits.find(cookie)
        device = request.cookies.get(_DEVICE, "")
        here = cls(site, request, role, visit or Visit(), form, cookie, device)
        if visit is None:
            here._keep_visit()
        if len(device) != 32 or not device.isalnum() or not device.isascii():
            here._device_cookie = secrets.token_hex(16)
            here.set_cookie(_DEVICE, here._device_cookie, _DEVICE_SECONDS)
        return here

    @property
    def tokens(self) -> TokenClient:
        """The client for this device's sessions."""
        return self.site.backend.tokens(self.role)

    @property
    def pairings(self) -> PairingClient:
        """The client for this device's pairings."""
        return self.site.backend.pairings(self.role)

    @property
    def device(self) -> Device:
        """The device as it looks to us."""
        return device_of(self.request, self.role, self._device_cookie)

    @property
    def wants_json(self) -> bool:
        """Whether a script asked, and not the browser for a page."""
        return wants_json(self.request)

    @property
    def again(self) -> str:
        """The path of the page to try again: this one, or the one whose form was sent."""
        if self.request.method == "GET":
            return self.request.url.path
        origin, sent_from = self.site.origin, self.request.headers.get("referer", "")
        path = sent_from.removeprefix(origin).partition("?")[0]
        ours = sent_from.startswith(f"{origin}/") and path.startswith(self.role.path())
        return path if ours else self.role.path()

    def text(self, name: str) -> str:
        """Give a field of the form, "" where it is missing."""
        value = self.form.get(name)
        return value if isinstance(value, str) else ""

    def cookie(self, name: str) -> str:
        """Give a cookie of this device's own, "" where it is missing."""
        return self.request.cookies.get(self._named(name), "")

    def set_own_cookie(self, name: str, value: str) -> None:
        """Set a cookie of this device's own, or remove it by an empty value."""
        self.set_cookie(self._named(name), value, None if value else 0)

    def set_cookie(self, name: str, value: str, seconds: int | None) -> None:
        """Set a cookie; without ``seconds`` it ends with the browser."""
        self._cookies[name] = (value, seconds)

    def renew_visit(self) -> None:
        """Give the browser another visit cookie, and its forms another token: who knew those from
        before a login is not in."""
        self.site.visits.close(self._visit_cookie)
        self.visit.csrf = Visit().csrf
        self._keep_visit()

    def render(self, page: str, status: int = HTTPStatus.OK, **values: object) -> Response:
        """Give a page."""
        shared = {
            "role": self.role,
            "csrf": self.visit.csrf,
            "notice": self.visit.take_notice(),
            "username": "",
        }
        return self.site.render(page, status, **{**shared, **values})

    def go(self, page: str = "", notice: str = "", *, field: str = "") -> Response:
        """Send the browser to another page of this device, which says ``notice`` first, as about
        the field with that id.
        """
        if notice:
            self.visit.notice = texts.notice(notice, field)
        path = self.role.path(page)
        if self.wants_json:
            return JSONResponse({"next": path})
        return RedirectResponse(path, HTTPStatus.SEE_OTHER)

    def leave(self, response: Response) -> Response:
        """Put the cookies on the answer."""
        for name, (value, seconds) in self._cookies.items():
            response.set_cookie(
                name, value, seconds, path="/", secure=True, httponly=True, samesite="lax"
            )
        return response

    def _keep_visit(self) -> None:
        self._visit_cookie = self.site.visits.open(self.visit)
        self.set_cookie(_VISIT, self._visit_cookie, None)

    def _named(self, name: str) -> str:
        return f"__Host-{self.role.value}-{name}"
