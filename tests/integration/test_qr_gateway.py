"""The example gateway without a browser: what it refuses, and what it sends to whom."""

import asyncio
import copy
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from starlette.applications import Starlette

from clients.examples.qr_login import texts
from clients.examples.qr_login.app import create_app
from clients.examples.qr_login.backend import Credentials
from clients.examples.qr_login.guard import MAX_BODY_BYTES
from tests.support.fixtures import LocalServer, StartApplication
from tests.support.qr_gateway import HEARTBEAT, noticed
from tests.support.world import World
from tokenservice import qr

ORIGIN = "http://localhost:8080"
OURS = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}


class Visitor:
    """A browser as far as the protocol goes. Its cookies are kept although there is no TLS."""

    def __init__(self, app: Starlette, role: str) -> None:
        transport = httpx.ASGITransport(app)
        # httpx has no idea that localhost counts as safe for Secure cookies.
        self.http = httpx.AsyncClient(transport=transport, base_url="https://localhost:8080")
        self.role = role

    async def get(self, page: str = "", **how: object) -> httpx.Response:
        return await self.http.get(f"/{self.role}/{page}".rstrip("/"), **how)  # type: ignore[arg-type] # passed on

    async def post(self, page: str, **fields: str) -> httpx.Response:
        return await self.post_from(OURS, page, **fields)

    async def post_from(self, headers: dict[str, str], page: str, **fields: str) -> httpx.Response:
        data = {"csrf": await self.csrf(), **fields}
        return await self.http.post(f"/{self.role}/{page}", data=data, headers=headers)

    async def csrf(self, page: str = "login") -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', (await self.get(page)).text)
        assert found is not None
        return found[1]

    async def sign_in(self, world: World) -> httpx.Response:
        answer = await self.post("login", username=world.username, password=world.password)
        assert answer.headers["location"] == f"/{self.role}"
        return answer

    async def scan(self, text: str) -> httpx.Response:
        return await self.http.post(
            "/phone/scan",
            data={"csrf": await self.csrf("scan")},
            files={"picture": ("code.png", io.BytesIO(qr.png(text)), "image/png")},
            headers=OURS,
        )


@asynccontextmanager
async def gateway_of(world: World, address: str) -> AsyncIterator[Starlette]:
    app = create_app(Credentials(address, world.clients), ORIGIN)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def server(start_application: StartApplication) -> LocalServer:
    return await start_application(heartbeat=HEARTBEAT)


@pytest.fixture
async def app(world: World, server: LocalServer) -> AsyncIterator[Starlette]:
    async with gateway_of(world, server.address) as app:
        yield app


@pytest.mark.parametrize("path", ["/pc/login", "/phone/scan", "/static/style.css", "/nowhere/x"])
async def test_headers(app: Starlette, path: str) -> None:
    answer = await Visitor(app, "pc").http.get(path)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://evil.example"},
        {"origin": "null", "sec-fetch-site": "same-origin"},
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
    ],
)
async def test_forms_of_others_are_refused(
    world: World, app: Starlette, headers: dict[str, str]
) -> None:
    visitor = Visitor(app, "pc")
    fields = {"username": world.username, "password": world.password}
    assert (await visitor.post_from(headers, "login", **fields)).status_code == 403
    assert "__Host-pc-session" not in visitor.http.cookies


async def test_a_form_needs_the_token_of_its_visit(world: World, app: Starlette) -> None:
    visitor, other = Visitor(app, "pc"), Visitor(app, "pc")
    fields = {"username": world.username, "password": world.password}
    for token in ("", "é", await other.csrf()):
        answer = await visitor.post("login", csrf=token, **fields)
        assert answer.status_code == 303
        assert "__Host-pc-session" not in visitor.http.cookies
        assert texts.FORM_EXPIRED in (await visitor.get("login")).text
    known = visitor.http.cookies["__Host-visit"]
    set_cookies = (await visitor.sign_in(world)).headers.get_list("set-cookie")
    assert visitor.http.cookies["__Host-visit"] != known
    assert len(set_cookies) == 3
    for one in set_cookies:
        assert one.startswith("__Host-")
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(one.split("; "))


async def test_only_its_own_name_is_served(app: Starlette) -> None:
    visitor = Visitor(app, "pc")
    elsewhere = {"host": "evil.example"}
    answer = await visitor.get("login", headers=elsewhere)
    assert answer.headers["location"] == f"{ORIGIN}/"
    answer = await visitor.http.post("/pc/login", headers={**OURS, **elsewhere})
    assert answer.status_code == 400


async def test_bodies_have_a_limit(app: Starlette) -> None:
    visitor = Visitor(app, "phone")

    async def endless() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="picture"; filename="p"\r\n\r\n'
        for _ in range(MAX_BODY_BYTES // 65_536 + 1):
            yield bytes(65_536)

    headers = {**OURS, "content-type": "multipart/form-data; boundary=x"}
    answer = await visitor.http.post("/phone/scan", content=endless(), headers=headers)
    assert answer.status_code == 413


async def test_wrong_credentials_read_alike(world: World, app: Starlette) -> None:
    visitor = Visitor(app, "pc")
    known = await visitor.post("login", username=world.username, password="wrong")
    unknown = await visitor.post("login", username="nobody", password="wrong")
    assert known.status_code == unknown.status_code == 401
    assert texts.WRONG_CREDENTIALS in known.text
    assert texts.WRONG_CREDENTIALS in unknown.text


async def test_requests_at_the_same_time_get_one_successor(
    world: World, app: Starlette, server: LocalServer
) -> None:
    visitor = Visitor(app, "pc")
    await visitor.sign_in(world)
    before = visitor.http.cookies["__Host-pc-session"]
    server.clock.advance(timedelta(minutes=6))
    while not noticed(server.clock, app.state.backend):
        await asyncio.sleep(0.05)
    answers = await asyncio.gather(*(visitor.get() for _ in range(16)))
    assert {answer.status_code for answer in answers} == {200}
    after = {answer.cookies["__Host-pc-session"] for answer in answers}
    assert len(after) == 1
    assert before not in after


async def test_a_session_that_ends_says_why(world: World, app: Starlette) -> None:
    visitor, other = Visitor(app, "pc"), Visitor(app, "phone")
    for one in (visitor, other):
        await one.sign_in(world)
    assert (await other.get()).text.count("<li ") == 2
    await other.post_from(OURS, "devices/sign-out-others")
    answer = await visitor.get()
    assert answer.headers["location"] == "/pc/login"
    assert "from another of your devices" in (await visitor.get("login")).text
    assert "__Host-pc-session" not in visitor.http.cookies
    assert (await other.get()).text.count("<li ") == 1


async def test_nobody_is_in_while_the_service_is_away(
    world: World, app: Starlette, server: LocalServer
) -> None:
    visitor = Visitor(app, "pc")
    await visitor.sign_in(world)
    await server.application.stop()
    answer = await visitor.get()
    assert answer.status_code == 503
    assert texts.UNREACHABLE in answer.text
    assert answer.headers["retry-after"] == "1"
    assert 'http-equiv="refresh" content="5; url=/pc"' in answer.text, "for who runs no scripts"
    assert "__Host-pc-session" in visitor.http.cookies
    assert (await visitor.get("answers")).status_code == 503
    csrf = await visitor.csrf()
    for sent_from, again in (
        (f"{ORIGIN}/pc/confirm?x", "/pc/confirm"),
        (f"{ORIGIN}.evil.example/pc/confirm", "/pc"),
        ("https://evil.example/", "/pc"),
        ("", "/pc"),
    ):
        headers = {**OURS, "referer": sent_from}
        answer = await visitor.post_from(headers, "devices/sign-out-others", csrf=csrf)
        assert answer.status_code == 503
        assert f'id="again" href="{again}"' in answer.text
    assert texts.NOT_KNOWN in (await visitor.get("login")).text


async def test_what_is_not_there_is_said_in_the_callers_form(app: Starlette) -> None:
    visitor = Visitor(app, "pc")
    answer = await visitor.get("nowhere")
    assert answer.status_code == 404
    assert "<title>Error: Page not found · PC</title>" in answer.text
    answer = await visitor.get("nowhere", headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()) == (
        404,
        {"notice": "There is no page at this address."},
    )
    answer = await visitor.http.get("/pc/logout")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert (await visitor.get("answers")).status_code == 204


async def test_links_and_texts_scan_nothing(world: World, app: Starlette) -> None:
    pc, phone = Visitor(app, "pc"), Visitor(app, "phone")
    await phone.sign_in(world)
    await pc.post("pairing/start", direction="map")
    assert 'data-state="pending"' in (await pc.get("pairing")).text
    for uri in ("/pair/map/4TX2QK-9GH7WM-ZB3NPD", "/phone/scan?code=4TX2QK-9GH7WM-ZB3NPD"):
        assert (await phone.http.get(uri)).status_code == 200
    answer = await phone.post("scan", picture="tokenservice:pair/map/4TX2QK-9GH7WM-ZB3NPD")
    assert answer.headers["location"] == "/phone/scan"
    for text, notice in (
        ("https://evil.example/", texts.FOREIGN_CODE),
        ("tokenservice:pair/map/4TX2QK-9GH7WM-ZB3NPD", texts.CODE_DEAD),
        ("tokenservice:pair/pam/4TX2QK-9GH7WM-ZB3NPD", texts.CODE_DEAD),
    ):
        assert (await phone.scan(text)).headers["location"] == "/phone/scan"
        assert notice in (await phone.get("scan")).text
    assert 'data-state="pending"' in (await pc.get("pairing")).text
    pages = (await pc.get("pairing")).text + (await pc.get("pairing/qr.svg")).text
    assert "tsk_" not in pages


async def test_pages_of_a_pairing_that_is_not_there(app: Starlette) -> None:
    visitor = Visitor(app, "pc")
    assert (await visitor.get("pairing")).headers["location"] == "/pc"
    assert (await visitor.get("pairing/events")).status_code == 204
    assert (await visitor.get("pairing/qr.svg")).status_code == 204
    for page in ("approve", "deny", "cancel", "collect"):
        assert (await visitor.post(f"pairing/{page}")).headers["location"] == "/pc"
    assert (await visitor.http.get("/fax/login")).status_code == 404


async def test_who_knew_the_browsers_cookie_before_a_pairing_is_not_part_of_it(
    world: World, app: Starlette
) -> None:
    attacker, victim = Visitor(app, "pc"), Visitor(app, "pc")
    await attacker.get("login")
    for cookie in attacker.http.cookies.jar:
        victim.http.cookies.jar.set_cookie(copy.copy(cookie))
    started = await victim.post("pairing/start", direction="map")
    assert started.headers["location"] == "/pc/pairing"
    assert (await victim.get("pairing")).status_code == 200
    assert (await attacker.get("pairing")).headers["location"] == "/pc"
