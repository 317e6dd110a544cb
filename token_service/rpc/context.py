"""What of the library's call context is used here; handlers see none of it."""

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Protocol

import grpc

Metadata = tuple[tuple[str, str | bytes], ...]


class CallContext(Protocol):
    """What admission reads of a call besides its metadata."""

    def peer(self) -> str:
        """The other side's name, such as `ipv4:192.0.2.7:4711`."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What the TLS layer verified."""


class Context(CallContext, Protocol):
    """What a call reads of it, and does with it."""

    def time_remaining(self) -> float | None:
        """Seconds until the client's deadline; None when it set none."""

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """What goes out with a successful status."""

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """What goes out before the first message."""

    async def write(self, message: bytes) -> None:
        """One message of a stream."""

    async def read(self) -> Any:  # noqa: ANN401
        """The next message as it came; EOF after the last."""

    async def abort(self, code: grpc.StatusCode, details: str, metadata: Metadata) -> NoReturn:
        """End the call with an error status; always raises."""
