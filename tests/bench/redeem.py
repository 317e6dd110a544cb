"""RedeemCode against the bare echo: its requests, and its part of a round."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.processes import Echo
from tests.support.api import Api, basic
from tests.support.servers import ServerProcess
from tests.support.world import World
from tokenservice.v1 import code_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

METHOD = "/tokenservice.v1.CodeService/RedeemCode"
CLIENT = "demo-admin"
PURPOSE = "bench"
COUPONS = 200

Measure = Callable[..., None]
"""As `Bench.measure`."""


@dataclass(frozen=True, slots=True)
class Coupons:
    """Coupons of a server that can be redeemed without end, and the size of a reply in bytes."""

    server: ServerProcess
    authorization: str
    folder: Path
    codes: list[str] = field(repr=False)
    reply_size: int

    def one_round(
        self, measure: Measure, echo: Echo, concurrency: int, calls: int, number: int
    ) -> None:
        """So many redemptions, each with an id of its own, and as many echoes."""
        requests = self._write(f"{number}-{concurrency}", calls)
        for name, pid, method, address in (
            ("redeem", self.server.process.pid, METHOD, self.server.address),
            ("echo_redeem", echo.pid, "/echo/redeem", echo.address),
        ):
            measure(
                name,
                pid,
                concurrency,
                kind="cold",
                count=calls,
                method=method,
                address=address,
                authorization=self.authorization,
                requests=str(requests),
            )

    def _write(self, name: str, count: int) -> Path:
        path = self.folder / f"redeem.{name}"
        lines = (
            pb.RedeemCodeRequest(
                purpose=PURPOSE,
                code=self.codes[number % COUPONS],
                redeemer=f"customer-{number}",
                request_id=f"{name}-{number}",
            ).SerializeToString()
            for number in range(count)
        )
        path.write_text("\n".join(line.hex() for line in lines))
        return path


def coupons(world: World, server: ServerProcess, folder: Path) -> Coupons:
    """Issue them."""
    codes, size = asyncio.run(_issue(world, server.address))
    return Coupons(server, basic(CLIENT, world.clients[CLIENT]), folder, codes, size)


async def _issue(world: World, address: str) -> tuple[list[str], int]:
    wish = pb.IssueCodeRequest(
        purpose=PURPOSE,
        kind=types.CODE_KIND_COUPON,
        max_uses=1_000_000_000,
        payload=b'{"percent": 20}',
    )
    async with world.api(address, CLIENT) as api:
        codes = [await _new(api, wish) for _ in range(COUPONS)]
        request = pb.RedeemCodeRequest(purpose=PURPOSE, code=codes[0])
        reply = await api.codes.RedeemCode(request, metadata=api.metadata)
        return codes, reply.ByteSize()


async def _new(api: Api, wish: pb.IssueCodeRequest) -> str:
    return (await api.codes.IssueCode(wish, metadata=api.metadata)).code
