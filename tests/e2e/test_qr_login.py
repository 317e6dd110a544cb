"""The example gateway in two real browsers: a PC and a phone let each other in by QR code."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from clients.examples.qr_login import texts
from clients.examples.qr_login.backend import Credentials
from tests.e2e.browser import Browser, programs
from tests.e2e.scene import PICTURE, Scene, read
from tests.support.fixtures import StartApplication
from tests.support.qr_gateway import HEARTBEAT, Gateway
from tests.support.world import World

PC_NUMBER, PHONE_NUMBER = "Number that the PC shows", "Number that the phone shows"
# How prominent the two buttons are.
CHOICES = """
return Array.from(document.querySelectorAll(".choice button"), (button) => {
  const look = getComputedStyle(button);
  const size = [button.offsetWidth, button.offsetHeight];
  return [...size, look.backgroundColor, look.color, look.fontWeight, look.borderColor];
});
"""
ACCESS_LIFE = timedelta(minutes=5, seconds=30)


Play = Callable[[Scene], None]


@pytest.fixture(scope="module")
def browsers() -> Iterator[tuple[Browser, Browser]]:
    programs()
    pc = Browser("pc")
    try:
        phone = Browser("phone")
        try:
            yield pc, phone
        finally:
            phone.close()
    finally:
        pc.close()


@pytest.fixture
async def played(
    browsers: tuple[Browser, Browser],
    world: World,
    start_application: StartApplication,
    tmp_path: Path,
) -> AsyncIterator[Callable[[Play], "asyncio.Future[None]"]]:
    """Plays a scene on a thread: the token service runs on this one's event loop."""
    pc, phone = browsers
    server = await start_application(heartbeat=HEARTBEAT)
    credentials = Credentials(server.address, world.clients)
    with Gateway(credentials, patience=30.0) as gateway:  # however slow this machine is
        scene = Scene(pc, phone, server.clock, gateway, world.username, world.password, tmp_path)

        def begun(play: Play) -> None:
            pc.start_over(gateway.origin)
            phone.start_over(gateway.origin)
            play(scene)
            for browser in browsers:
                assert browser.complaints() == []

        yield lambda play: asyncio.ensure_future(asyncio.to_thread(begun, play))
        for browser in browsers:  # no page follows anything any more
            await asyncio.to_thread(browser.driver.get, "about:blank")


def phone_lets_pc_in(scene: Scene) -> None:
    pc, phone = scene.pc, scene.phone
    pc.record("login")
    phone.record("login")
    scene.sign_in(phone)
    pc.press("Sign in with your phone")
    pc.sees("Waiting for a phone")
    pc.record("pairing-pending")
    phone.open("scan").record("scan")
    uri = scene.scan()
    # The text of the code, opened as a link wherever a phone's camera may lead, is nothing.
    assert uri.startswith("tokenservice:pair/map/")
    phone.sees("Chrome on Linux")
    phone.sees("The same network address")
    phone.record("pairing-decides")
    number = pc.slot("check_number")
    pc.record("pairing-number")
    phone.fill(PC_NUMBER, f"{(int(number) + 1) % 100:02}")
    phone.press("Approve")
    phone.sees(texts.WRONG_NUMBER)
    phone.record("pairing-wrong-number")
    assert phone.driver.title.startswith("Error: ")
    phone.use(By.CSS_SELECTOR, "#notice:focus a", WebElement.click)
    phone.use(By.CSS_SELECTOR, "#check_number:focus[aria-describedby=notice]", WebElement.clear)
    phone.fill(PC_NUMBER, number)
    phone.press("Approve")
    pc.sees("You were let in by another device")
    pc.sees("let in by Chrome on Linux")
    pc.record("home")
    phone.sees("Done. The PC is in.")
    phone.record("pairing-done")
    phone.press("Back")
    phone.record("home")
    # The phone has second thoughts.
    other = '//li[not(contains(., "this device"))]//button'
    phone.use(By.XPATH, other, WebElement.click)
    phone.sees(texts.DEVICE_SIGNED_OUT)
    pc.open()
    pc.sees("You were signed out from another of your devices.")
    pc.record("login-signed-out", all_views=False)
    assert pc.path == "/pc/login"


def pc_lets_phone_in(scene: Scene) -> None:
    pc, phone = scene.pc, scene.phone
    scene.sign_in(pc)
    pc.press("Show a code for your phone")
    pc.sees("A new code comes in")
    phone.open("scan").point_camera_at(pc.screenshot())
    phone.press("Open the camera")
    number = phone.slot("check_number")
    phone.record("pairing-number")
    pc.sees("Is this your phone")
    pc.record("pairing-decides")
    # By keyboard alone: the field has the focus, Enter approves.
    pc.use(By.CSS_SELECTOR, "#check_number:focus", lambda field: field.send_keys(number + "\n"))
    phone.sees("Your devices")
    phone.sees("this device")
    pc.sees("Done. The phone is in.")
    pc.press("Back")
    pc.press("Sign out everywhere else")
    pc.sees(texts.OTHERS_SIGNED_OUT)
    phone.open()
    phone.sees("You were signed out from another of your devices.")


def refusal(scene: Scene) -> None:
    pc, phone = scene.pc, scene.phone
    pc.press("Sign in with your phone")
    pc.sees("Waiting for a phone")
    scene.scan()
    phone.sees(texts.SIGN_IN_FIRST)
    scene.sign_in(phone)
    scene.scan()
    phone.sees("Is this your PC")
    approve, refuse = phone.driver.execute_script(CHOICES)
    assert approve == refuse
    phone.press("Refuse")
    phone.sees("You refused this.")
    pc.sees("This was refused on the phone.")
    pc.record("pairing-refused", all_views=False)
    assert "this device" not in pc.open().text
    pc.open("pairing").press("Show a new code")
    pc.sees("Waiting for a phone")
    scene.scan()
    phone.sees("Is this your PC")
    pc.press("Cancel")
    pc.sees("You cancelled this.")
    phone.sees("This was cancelled on the PC.")
    phone.record("pairing-cancelled", all_views=False)


def rotation_and_expiry(scene: Scene) -> None:
    """The page follows both by itself; the clock is moved close to them, and the page reloaded,
    since the service waits for them in real time."""
    pc, phone = scene.pc, scene.phone
    scene.sign_in(phone)
    started_at = scene.clock.now()
    pc.press("Sign in with your phone")
    pc.sees("A new code comes in")
    old = pc.screenshot()
    scene.move_to(started_at + timedelta(seconds=58))
    pc.open("pairing")
    pc.until(lambda: read(pc.screenshot()) not in ("", read(old)) or None, "second code")
    scene.move_to(started_at + timedelta(seconds=122))
    phone.open("scan").upload(PICTURE, old, scene.folder)
    phone.press("Read the picture")
    phone.sees(texts.CODE_DEAD)
    phone.record("scan-dead", all_views=False)
    scene.move_to(started_at + timedelta(seconds=298))
    pc.open("pairing")
    pc.sees("Nothing happened in time")
    pc.record("pairing-expired", all_views=False)


def a_copied_cookie(scene: Scene) -> None:
    """Two browsers with one session: both end at the login, and hear why."""
    pc, thief = scene.pc, scene.phone
    scene.sign_in(pc)
    for cookie in pc.driver.execute_cdp_cmd("Network.getAllCookies", {})["cookies"]:
        flags = (cookie["httpOnly"], cookie["secure"], cookie["path"], cookie["sameSite"])
        assert flags == (True, True, "/", "Lax")
        assert cookie["name"].startswith("__Host-")
        copied = {name: cookie[name] for name in ("name", "value", "path", "secure", "httpOnly")}
        copied["url"] = pc.origin
        assert thief.driver.execute_cdp_cmd("Network.setCookie", copied)["success"]
    stolen = f"{pc.origin}/pc"
    for _ in range(2):
        scene.advance(ACCESS_LIFE)
        thief.driver.get(stolen)
        thief.sees("Your devices")
    pc.open()
    pc.sees(texts.USED_TWICE)
    pc.record("login-used-twice", all_views=False)
    assert pc.path == "/pc/login"
    thief.driver.get(stolen)
    thief.sees(texts.USED_TWICE)
    assert thief.driver.current_url == f"{stolen}/login"


def an_old_login_without_scripts(scene: Scene) -> None:
    """The access token has expired and the login is too old to approve: one unseen, one asked.
    The PC runs no scripts: its person reloads the page, and goes on by a button."""
    pc, phone = scene.pc, scene.phone
    scene.sign_in(phone)
    scene.advance(timedelta(minutes=11))
    pc.scripts(False)
    pc.press("Sign in with your phone")
    pc.sees("The code changes every minute.")
    scene.scan()
    phone.sees("Number that the PC shows")
    number = pc.open("pairing").slot("check_number")
    pc.record("pairing-without-scripts")
    phone.fill(PC_NUMBER, number)
    phone.press("Approve")
    phone.sees(texts.CONFIRM)
    phone.record("confirm")
    phone.sign_in(scene.username, scene.password, "Confirm")
    phone.fill(PC_NUMBER, number)
    phone.press("Approve")
    phone.sees("The PC is being signed in")
    pc.open("pairing").press("Go on")
    pc.sees("Your devices")
    phone.sees("Done. The PC is in.")


def an_approver_who_leaves(scene: Scene) -> None:
    """Signed out between the approval and the collection: nobody gets in any more."""
    pc, phone = scene.pc, scene.phone
    scene.sign_in(phone)
    pc.scripts(False)
    pc.press("Sign in with your phone")
    pc.sees("The code changes every minute.")
    scene.scan()
    phone.sees("Number that the PC shows")
    number = pc.open("pairing").slot("check_number")
    phone.fill(PC_NUMBER, number)
    phone.press("Approve")
    phone.sees("The PC is being signed in")
    phone.open().press("Sign out")
    phone.sees(texts.SIGNED_OUT)
    pc.open("pairing").press("Go on")
    pc.sees(texts.TOO_LATE)
    assert pc.path == "/pc/login"


@pytest.mark.parametrize(
    "play",
    [
        phone_lets_pc_in,
        pc_lets_phone_in,
        refusal,
        rotation_and_expiry,
        a_copied_cookie,
        an_old_login_without_scripts,
        an_approver_who_leaves,
    ],
)
async def test_two_browsers(played: Callable[[Play], "asyncio.Future[None]"], play: Play) -> None:
    await played(play)
