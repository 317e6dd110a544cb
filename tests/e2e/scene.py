"""Two browsers at one gateway: what their people do."""

import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import zxingcpp
from PIL import Image

from tests.e2e.browser import Browser
from tests.support.clocks import ShiftedClock
from tests.support.qr_gateway import Gateway, noticed

PICTURE = "Photo or screenshot of the code"


@dataclass
class Scene:
    """Two browsers at one gateway, and the service's clock."""

    pc: Browser
    phone: Browser
    clock: ShiftedClock
    gateway: Gateway
    username: str
    password: str
    folder: Path

    def sign_in(self, browser: Browser) -> None:
        browser.open("login").sign_in(self.username, self.password)
        browser.sees("Your devices")

    def advance(self, by: timedelta) -> None:
        """Let time pass at the service, and the gateway notice it."""
        self.clock.advance(by)
        self.pc.until(lambda: noticed(self.clock, self.gateway.backend) or None, "later time")

    def move_to(self, moment: datetime) -> None:
        """Let time pass, unless it is later already."""
        self.advance(max(timedelta(0), moment - self.clock.now()))

    def scan(self) -> str:
        """The phone reads the PC's screen; the text of the QR code."""
        picture = self.pc.screenshot()
        self.phone.open("scan").upload(PICTURE, picture, self.folder)
        self.phone.press("Read the picture")
        return read(picture)


def read(picture: bytes) -> str:
    """The text of the QR code; "" while the page does not show one."""
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))
    return str(found[0].text) if found else ""
