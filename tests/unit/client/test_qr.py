"""QR codes can be read again, and stand in a page with a strict CSP."""

import io
from typing import Any

import pytest
import zxingcpp
from PIL import Image

from tokenservice import qr

URI = "tokenservice:pair/map/4TX2QK-9GH7WM-ZB3NPD"


def read(picture: Image.Image) -> list[str]:
    found: list[Any] = zxingcpp.read_barcodes(picture)
    return [one.text for one in found]


@pytest.mark.parametrize("scale", [2, 8])
def test_a_png_is_read_again(scale: int) -> None:
    assert read(Image.open(io.BytesIO(qr.png(URI, scale=scale)))) == [URI]


def test_what_a_terminal_shows_is_read_again() -> None:
    rows = [line for line in qr.terminal(URI).splitlines() if line]
    picture = Image.new("L", (len(rows[0]), 2 * len(rows)), 255)
    for y, row in enumerate(rows):
        for x, block in enumerate(row):
            upper, lower = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}[block]
            picture.putpixel((x, 2 * y), 255 * upper)
            picture.putpixel((x, 2 * y + 1), 255 * lower)
    grown = picture.resize((8 * picture.width, 8 * picture.height), Image.Resampling.NEAREST)
    assert read(grown) == [URI]


def test_an_svg_brings_nothing_that_a_page_would_not_allow() -> None:
    drawn = qr.svg(URI, title="a <code>")
    assert drawn.startswith("<svg ")
    assert "a &lt;code&gt;" in drawn
    assert URI not in drawn
    assert not any(word in drawn for word in ("style", "script", "href", "width=", "<?xml"))
