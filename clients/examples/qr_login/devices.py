"""How a request's device looks to this gateway: that is what the person who decides is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenservice import Device

if TYPE_CHECKING:
    from starlette.requests import Request

    from .roles import Role

_MOST_AGENT: Final = 512

# The first that occurs counts: every browser also claims to be some older one.
_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("HeadlessChrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("Linux", "Linux"),
)


def device_of(request: Request, role: Role, device_cookie: str) -> Device:
    """Describe the device behind a request by what reached us, not by what it says it is.

    The user agent is its own claim all the same; the address is not.
    """
    agent = request.headers.get("user-agent", "")[:_MOST_AGENT]
    agent = "".join(character for character in agent if character.isprintable())
    return Device(
        device_id=f"{role.value}-{device_cookie}",
        name=name_of(agent),
        user_agent=agent,
        ip_address=request.client.host if request.client else "",
    )


def name_of(agent: str) -> str:
    """Give a name that people recognise, such as "Firefox on Linux"."""
    browser = next((name for mark, name in _BROWSERS if mark in agent), "A browser")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "an unknown system")
    return f"{browser} on {system}"
