"""The two devices that this example plays, each with a client of the token service."""

from __future__ import annotations

from enum import Enum
from typing import Final

from tokenservice.core import Platform

AUDIENCE: Final = "orders"
"""The API that the signed-in pages stand for; access tokens are for it."""


class Role(Enum):
    """A browser on a PC behind the web gateway, or the app on a phone. The value is in paths."""

    PC = "pc"
    PHONE = "phone"

    @property
    def client_id(self) -> str:
        """Its client at the token service."""
        return "demo-web" if self is Role.PC else "demo-mobile"

    @property
    def platform(self) -> Platform:
        """The platform of its sessions."""
        return Platform.WEB if self is Role.PC else Platform.MOBILE

    @property
    def label(self) -> str:
        """What people read."""
        return "PC" if self is Role.PC else "Phone"

    def path(self, page: str = "") -> str:
        """Give the path of one of its pages."""
        return f"/{self.value}/{page}".rstrip("/")
