"""Reading QR codes from the pictures that people upload or that the camera takes."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import zxingcpp
from PIL import Image

MAX_PICTURE_BYTES: Final = 12 * 1024 * 1024
_MAX_PIXELS: Final = 50_000_000
_FORMATS: Final = ("PNG", "JPEG", "WEBP")
_WIDEST: Final = (4096, 4096)
_READERS: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="pictures")
"""Few: a large picture takes some hundred megabytes while it is read."""
_QR: Final = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode])


class NotAPicture(Exception):  # noqa: N818 - a condition, not a fault
    """What was uploaded is no picture, or one that is too large."""


async def texts_in(picture: bytes) -> list[str]:
    """Give the texts of all QR codes in a picture, read on a thread. Raises NotAPicture."""
    return await asyncio.get_running_loop().run_in_executor(_READERS, _texts_in, picture)


def _texts_in(picture: bytes) -> list[str]:
    try:
        with Image.open(io.BytesIO(picture), formats=_FORMATS) as opened:
            if opened.width * opened.height > _MAX_PIXELS:  # before anything is unpacked
                raise NotAPicture("the picture is too large")
            opened.draft("L", _WIDEST)  # JPEG: unpacked small and grey from the beginning
            grey = opened.convert("L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise NotAPicture("not a picture in PNG, JPEG or WebP") from None
    found: list[Any] = zxingcpp.read_barcodes(grey, formats=_QR)
    return [barcode.text for barcode in found]
