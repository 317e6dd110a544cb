"""What people get from the example gateway when something is wrong, in a real browser."""

from collections.abc import Iterator

import pytest

from clients.examples.qr_login import texts
from clients.examples.qr_login.backend import Credentials
from tests.e2e.browser import Browser, programs
from tests.support.fixtures import StartServer
from tests.support.qr_gateway import Gateway
from tests.support.servers import ServerProcess
from tests.support.world import World

PATIENCE = 1.0
"""More than people get: no slow machine passes for a service that does not answer."""
STATUS = "return performance.getEntriesByType('navigation')[0].responseStatus"
FOCUS = "return document.activeElement.id"
DESCRIBED = """
return Array.from(document.querySelectorAll("[aria-invalid=true]"),
                  (field) => [field.id, field.getAttribute("aria-describedby")]);
"""


@pytest.fixture(scope="module")
def pc() -> Iterator[Browser]:
    programs()
    browser = Browser("pc")
    yield browser
    browser.close()


@pytest.fixture
def at_gateway(pc: Browser, served: tuple[World, ServerProcess]) -> Iterator[Browser]:
    world, server = served
    with Gateway(Credentials(server.address, world.clients), PATIENCE) as gateway:
        yield pc.start_over(gateway.origin)
        pc.driver.get("about:blank")


def focus_is_on(browser: Browser, element: str) -> None:
    browser.until(lambda: browser.driver.execute_script(FOCUS) == element or None, element)


def test_a_page_that_is_not_there(at_gateway: Browser) -> None:
    pc = at_gateway.open("nowhere")
    pc.sees("There is no page at this address.")
    assert pc.driver.execute_script(STATUS) == 404
    assert pc.driver.title == "Error: Page not found · PC"
    focus_is_on(pc, "problem")
    pc.record("not-found")
    pc.press("Back")
    pc.sees("User name")
    pc.driver.get(f"{pc.origin}/fax/login")
    assert pc.driver.execute_script(STATUS) == 404
    pc.press("Go to the pages of the Phone")
    assert pc.path == "/phone/login"


@pytest.mark.parametrize("scripts", [True, False])
def test_an_error_has_the_focus_and_leads_to_its_field(at_gateway: Browser, scripts: bool) -> None:
    pc = at_gateway
    pc.scripts(scripts)
    pc.sign_in("nobody", "wrong")
    pc.sees(texts.WRONG_CREDENTIALS)
    assert pc.driver.title == "Error: Sign in · PC"
    focus_is_on(pc, "notice")
    assert pc.driver.execute_script(DESCRIBED) == [
        ["username", "notice"],
        ["password", "notice"],
    ]
    pc.record("login-wrong", all_views=scripts)
    pc.press(texts.WRONG_CREDENTIALS)
    focus_is_on(pc, "username")
    pc.scripts(True)


def test_a_service_that_does_not_answer(
    pc: Browser, world: World, start_server: StartServer
) -> None:
    """Each page says so while the service is frozen, and goes on by itself afterwards."""
    server = start_server()
    with Gateway(Credentials(server.address, world.clients), PATIENCE) as gateway:
        pc.start_over(gateway.origin).sign_in(world.username, world.password)
        pc.sees("Your devices")
        while_a_page_is_asked_for(pc, server)
        while_a_form_is_sent(pc, server, world)
        while_a_pairing_is_followed(pc, server)
        pc.driver.get("about:blank")


def while_a_page_is_asked_for(pc: Browser, server: ServerProcess) -> None:
    server.pause()
    pc.open().sees(texts.UNREACHABLE)
    assert pc.driver.execute_script(STATUS) == 503
    assert pc.driver.title == "Error: The service does not answer · PC"
    focus_is_on(pc, "problem")
    pc.record("unreachable")
    pc.press("Try again")
    pc.sees(texts.UNREACHABLE)
    server.resume()
    pc.sees("Your devices")


def while_a_form_is_sent(pc: Browser, server: ServerProcess, world: World) -> None:
    pc.open("login").fill("User name", world.username)
    pc.fill("Password", world.password)
    server.pause()
    pc.press("Sign in")
    pc.sees(texts.UNREACHABLE)
    server.resume()
    pc.sees(texts.NOT_KNOWN)
    assert pc.path == "/pc/login"


def while_a_pairing_is_followed(pc: Browser, server: ServerProcess) -> None:
    pc.open().press("Show a code for your phone")
    pc.sees("A new code comes in")
    title = pc.driver.title
    server.pause()
    pc.sees("The service does not answer. This page goes on by itself")
    pc.record("pairing-unreachable")
    assert pc.driver.title == f"Error: {title}"
    server.resume()
    pc.until(lambda: "does not answer" not in pc.text or None, "end of it")
    assert pc.driver.title == title
