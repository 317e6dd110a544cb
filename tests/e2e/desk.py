"""What the snippets of the client package's README take for granted: a server, and people."""

import ast
import asyncio
import inspect
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.support.clients import connect
from tests.support.devices import scan
from tests.support.documents import CLIENT_README, Block, blocks
from tests.support.waiting import patience
from tests.support.world import World
from tokenservice import Validator
from tokenservice.v1 import pairing_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types


class Desk:
    """A server with the demo clients, and what snippets take for granted."""

    def __init__(self, world: World, address: str, folder: Path) -> None:
        self.world = world
        self.address = address
        self.folder = folder
        self.open = AsyncExitStack()

    async def run(self, block: Block, /, names: dict[str, Any], **replaced: str) -> dict[str, Any]:
        """Run the snippet among `names`; those that it leaves behind too."""
        code = block.code
        for text, other in replaced.items():
            assert text in code
            code = code.replace(text, other)
        compiled = compile(code, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(compiled, names)  # noqa: S307 - it is our own
        if inspect.isawaitable(running):
            async with patience():
                await running
        return names

    async def connection(self, client_id: str) -> Any:
        """Open until the end of the test."""
        return await self.open.enter_async_context(connect(self.world, self.address, client_id))

    async def validator(self) -> Validator:
        """The gateway's."""
        validator = Validator(await self.connection("demo-gateway"))
        return await self.open.enter_async_context(validator)

    async def log_in(self, client_id: str = "demo-web", **request: Any) -> types.TokenSet:
        """The demo user."""
        async with self.world.api(self.address, client_id) as api:
            return await api.login(self.world.username, self.world.password, **request)

    async def access(self) -> str:
        """A token of the demo user for `orders`."""
        return (await self.log_in(audiences=["orders"])).access_tokens[0].token

    async def routes(self) -> dict[str, Any]:
        """The names of the snippet that the middleware's others build on."""
        [block] = [
            one
            for one in blocks(CLIENT_README, "")
            if "import PUBLIC, CookieAuth, Route" in one.code
        ]
        return await self.run(block, {})


class Page:
    """What the PC shows; the person beside it scans the first code and types the number."""

    def __init__(self, desk: Desk, names: Mapping[str, Any]) -> None:
        self._desk, self._names = desk, names
        self._scanning: asyncio.Task[tuple[pb.ScanPairingResponse, str]] | None = None
        self._typing: asyncio.Task[None] | None = None

    def show(self, shown: str) -> None:
        """Called by the snippet with a drawing or with the check number."""
        status = self._names["status"]
        if not status.shown:
            self._typing = asyncio.create_task(self._type(shown))
        elif self._scanning is None:
            self._scanning = asyncio.create_task(self._scan(status.shown.code))

    async def done(self) -> None:
        """Raise what went wrong with the person."""
        assert self._typing is not None
        await self._typing

    async def _scan(self, code: str) -> tuple[pb.ScanPairingResponse, str]:
        world = self._desk.world
        async with world.api(self._desk.address, "demo-mobile") as phone:
            made = await phone.login(world.username, world.password, platform=types.PLATFORM_MOBILE)
            return await scan(phone, code, session_token=made.session_token), made.session_token

    async def _type(self, number: str) -> None:
        assert self._scanning is not None
        scanned, token = await self._scanning
        request = pb.ApprovePairingRequest(
            pairing_id=scanned.pairing_id,
            scan_secret=scanned.scan_secret,
            session_token=token,
            check_number=number,
        )
        async with self._desk.world.api(self._desk.address, "demo-mobile") as phone:
            await phone.pairings.ApprovePairing(request, metadata=phone.metadata)
