"""A name server on this machine that answers for one name, as the test says (RFC 1035)."""

import asyncio
import struct
from ipaddress import IPv4Address
from types import TracebackType
from typing import Self

NAME = "tokens.test"
_A, _IN = 1, 1
_ANSWERS, _NO_SUCH_NAME = 0x8400, 0x8403
_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHHIH4s")
_SAME_NAME = 0xC00C
"""Points at the name in the question."""


class NameServer(asyncio.DatagramProtocol):
    """Answers questions for addresses (IPv4) with `addresses`; with none, there is no such name."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.questions = 0
        self._transport: asyncio.DatagramTransport

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        address = ("127.0.0.1", 0)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, address)
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._transport.close()

    def target(self, port: int) -> str:
        """The name with a port, as a gRPC target that this server is asked about."""
        own: int = self._transport.get_extra_info("sockname")[1]
        return f"dns://127.0.0.1:{own}/{NAME}:{port}"

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        """Answer one question."""
        identifier = _HEADER.unpack_from(data)[0]
        question = data[_HEADER.size : data.index(b"\0", _HEADER.size) + 5]
        for_addresses = struct.unpack("!H", question[-4:-2])[0] == _A
        self.questions += for_addresses
        found = [IPv4Address(one).packed for one in self.addresses] if for_addresses else []
        flags = _ANSWERS if self.addresses else _NO_SUCH_NAME
        records = [_RECORD.pack(_SAME_NAME, _A, _IN, 1, 4, address) for address in found]
        head = _HEADER.pack(identifier, flags, 1, len(records), 0, 0)
        self._transport.sendto(b"".join([head, question, *records]), sender)
