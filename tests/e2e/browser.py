"""Chromium as people use it: two of them, a PC's and a phone's, driven by what is on the page."""

import base64
import io
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image
from selenium.common.exceptions import (
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.support.servers import ROOT
from tests.support.waiting import wait_until

Found = TypeVar("Found")

SCREENSHOTS = ROOT / "build" / "screenshots"

_ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # it refuses to run as root with one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",  # allows the camera without asking
)

# How the driver says that the page went away between two steps of one command. Some of it comes as
# an "unknown error": the driver passes on what the browser's inspector said.
_MOVED_ON = (
    "aborted by navigation",
    "does not belong to the document",
    "No node with given id found",
    "Cannot find context with specified id",
    "Execution context was destroyed",
    "Cannot take screenshot with 0 width",
)

_NOT_THERE = (
    NoSuchElementException,
    StaleElementReferenceException,
    ElementNotInteractableException,
)

_VIEWS = {"desktop": (1280, 800), "phone": (360, 740)}

_FAULTS = Path(__file__).with_name("page_faults.js").read_text()


def programs() -> tuple[str, str]:
    """Where Chromium and its driver are; skips the test where they are not."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    return browser, driver


def moved_on(error: WebDriverException) -> bool:
    """Whether a command failed only because the page changed meanwhile: look again."""
    return isinstance(error, _NOT_THERE) or any(mark in str(error.msg) for mark in _MOVED_ON)


class Browser:
    """One browser with cookies of its own, at one of the two devices' pages."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.origin = ""
        self._profile = tempfile.mkdtemp(prefix="token-service-chromium-")
        program, driver = programs()
        options = ChromeOptions()
        options.binary_location = program
        self.camera = Path(self._profile) / "camera.mjpeg"
        for argument in (
            *_ARGUMENTS,
            f"--user-data-dir={self._profile}",
            f"--use-file-for-fake-video-capture={self.camera}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Chrome(options=options, service=Service(driver))
        self.view("phone" if role == "phone" else "desktop")

    def close(self) -> None:
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    def start_over(self, origin: str) -> "Browser":
        """Forget everything, and go to a gateway."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.origin = origin
        self.scripts(True)
        self.complaints()
        return self.open()

    def open(self, page: str = "") -> "Browser":
        """Go to a page of this device."""
        self.driver.get(f"{self.origin}/{self.role}/{page}".rstrip("/"))
        return self

    def view(self, kind: str, theme: str = "light") -> None:
        """Look as a desktop or a phone does, in the light or in the dark."""
        width, height = _VIEWS[kind]
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": kind == "phone"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def scripts(self, allowed: bool) -> None:
        """Allow scripts in pages or not."""
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not allowed})
        self.driver.refresh()

    def press(self, label: str) -> None:
        """Press a button or follow a link, by what it says."""
        path = f'//main//*[self::button or self::a][normalize-space()="{label}"]'
        self.use(By.XPATH, path, WebElement.click)

    def fill(self, label: str, text: str) -> None:
        """Type into a field, by its label."""

        def typed(field: WebElement) -> None:
            field.clear()
            field.send_keys(text)

        self.use(By.XPATH, f'//input[@id=//label[normalize-space()="{label}"]/@for]', typed)

    def sign_in(self, username: str, password: str, button: str = "Sign in") -> None:
        """Send the password form."""
        self.fill("User name", username)
        self.fill("Password", password)
        self.press(button)

    def sees(self, text: str) -> None:
        """Wait for a text that people can see."""
        self.until(lambda: text in self._text() or None, f"{text!r} on the page")

    def slot(self, name: str) -> str:
        """Wait for a part of the pairing's page to say something."""
        return self.until(lambda: self._text(f'[data-slot="{name}"]') or None, name)

    @property
    def text(self) -> str:
        """What people can read."""
        return self.until(lambda: self._text() or None, "text")

    @property
    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.origin)

    def until(self, look: Callable[[], Found | None], what: str) -> Found:
        """Look again until there is something, and no page went away while it was looked at."""
        found: Found | None = None
        read = ""

        def there() -> bool:
            nonlocal found, read
            try:
                found = look()
                read = "" if found is not None else f"{self.path}: {self._text()}"
            except WebDriverException as error:
                if not moved_on(error):
                    raise
                found, read = None, f"a page that went away: {error.msg}"
            return found is not None

        wait_until(there, lambda: f"no {what} at {read}")
        assert found is not None
        return found

    def use(self, by: str, value: str, act: Callable[[WebElement], None]) -> None:
        """Do something with the first element that people can see, once there is one."""

        def done() -> bool | None:
            shown = [one for one in self.driver.find_elements(by, value) if one.is_displayed()]
            if not shown:
                return None
            act(shown[0])
            return True

        self.until(done, value)

    def screenshot(self) -> bytes:
        """The page as it is, as PNG."""
        asked = {"format": "png", "captureBeyondViewport": True}

        def taken() -> str:
            picture: str = self.driver.execute_cdp_cmd("Page.captureScreenshot", asked)["data"]
            return picture

        return base64.b64decode(self.until(taken, "picture"))

    def upload(self, label: str, picture: bytes, folder: Path) -> None:
        """Choose a picture, by the field's label."""
        file = folder / "picture.png"
        file.write_bytes(picture)
        self.fill(label, str(file))

    def point_camera_at(self, picture: bytes) -> None:
        """Have the camera see a picture, before it is opened."""
        out = io.BytesIO()
        Image.open(io.BytesIO(picture)).convert("RGB").save(out, "JPEG", quality=90)
        self.camera.write_bytes(out.getvalue())

    def record(self, name: str, *, all_views: bool = True) -> None:
        """Check the page, and keep its pictures: desktop and phone, light and dark, or one."""
        source = self.until(lambda: self.driver.page_source, "source")
        assert "tsk_" not in source
        assert "eyJ" not in source
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        own = "phone" if self.role == "phone" else "desktop"
        views = [(kind, theme) for kind in _VIEWS for theme in ("light", "dark")]
        for kind, theme in views if all_views else [(own, "light")]:
            self.view(kind, theme)
            faults = self.until(lambda: self.driver.execute_script(_FAULTS), "whole page")
            assert not faults, (name, kind, theme, faults)
            picture = SCREENSHOTS / f"{self.role}-{name}-{kind}-{theme}.png"
            picture.write_bytes(self.screenshot())
        self.view(own)

    def complaints(self) -> list[dict[str, Any]]:
        """What the browser's console says is wrong, such as breaches of the CSP."""
        said: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call] # as selenium has it
        return [one for one in said if one["level"] == "SEVERE"]

    def _text(self, selector: str = "body") -> str:
        """The text of the first such element now, "" without one: one script reads it, which no
        page can leave half-way."""
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        found: str = self.driver.execute_script(script, selector)
        return found.strip()
