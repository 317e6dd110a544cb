"""QR codes of pairings, as SVG, as PNG and for a terminal. Needs the extra ``qr`` (segno).

Dark modules on a light ground, with the quiet zone of four modules that readers expect (ISO/IEC
18004): keep both on dark pages too. A code is a secret while it lives; answers that hold one
need ``Cache-Control: no-store``.
"""

from __future__ import annotations

import io
from typing import Final

import segno

QUIET_ZONE: Final = 4
_ERROR_LEVEL: Final = "m"  # readable with 15 % of it hidden by glare or a finger


def svg(text: str, *, scale: float = 1, title: str = "") -> str:
    """Draw as an SVG element without a size of its own, for a page to size; its units are
    modules times ``scale``.

    It has no style, script or link, so that it may stand in a page with a strict CSP.
    """
    out = io.BytesIO()
    _made(text).save(
        out,
        kind="svg",
        scale=scale,
        border=QUIET_ZONE,
        dark="#000",
        light="#fff",
        omitsize=True,
        xmldecl=False,
        nl=False,
        title=title or None,
        svgclass=None,
        lineclass=None,
    )
    return out.getvalue().decode()


def png(text: str, *, scale: int = 8) -> bytes:
    """Draw as a PNG with ``scale`` pixels per module."""
    out = io.BytesIO()
    _made(text).save(out, kind="png", scale=scale, border=QUIET_ZONE)
    return out.getvalue()


def terminal(text: str) -> str:
    """Draw with the half blocks of Unicode, for terminals with a dark ground."""
    out = io.StringIO()
    _made(text).terminal(out, border=QUIET_ZONE, compact=True)
    return out.getvalue()


def _made(text: str) -> segno.QRCode:
    return segno.make_qr(text, error=_ERROR_LEVEL)
