"""RedeemCode against the bare echo: the requests, and one round of the measurement.

    python -m tests.bench.redeem

measures this alone, on stores of its own.
"""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.bench.processes import Echo, Loader, cpu_seconds, median
from tests.support.api import Api, basic
from tests.support.servers import ServerProcess
from tests.support.world import World, seed
from token_service.adapters.crypto.secrets_config import SecretKeys
from token_service.adapters.embedded import EmbeddedPostgres, EmbeddedValkey
from token_service.adapters.postgres.migrate import migrate
from tokenservice.v1 import code_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

METHOD = "/tokenservice.v1.CodeService/RedeemCode"
CLIENT = "demo-admin"
PURPOSE = "bench"
COUPONS = 200
CALLS = 2_000
ROUNDS = 5
IN_FLIGHT = 64

Measure = Callable[..., None]


async def coupons(api: Api) -> list[str]:
    """Codes that can be redeemed without end."""
    request = pb.IssueCodeRequest(
        purpose=PURPOSE,
        kind=types.CODE_KIND_COUPON,
        max_uses=1_000_000_000,
        payload=b'{"percent": 20}',
    )
    return [
        (await api.codes.IssueCode(request, metadata=api.metadata)).code for _ in range(COUPONS)
    ]


def requests(codes: list[str], name: str, count: int) -> list[bytes]:
    """Redemptions, each with an id of its own: `name` tells rounds apart."""
    return [
        pb.RedeemCodeRequest(
            purpose=PURPOSE,
            code=codes[number % len(codes)],
            redeemer=f"customer-{number}",
            request_id=f"{name}-{number}",
        ).SerializeToString()
        for number in range(count)
    ]


async def reply_size(api: Api, code: str) -> int:
    """The size of a reply in bytes."""
    request = pb.RedeemCodeRequest(purpose=PURPOSE, code=code)
    return (await api.codes.RedeemCode(request, metadata=api.metadata)).ByteSize()


def write(folder: Path, codes: list[str], name: str, count: int) -> Path:
    """A file of requests, as the load process reads them."""
    path = folder / f"redeem.{name}"
    path.write_text("\n".join(one.hex() for one in requests(codes, name, count)))
    return path


async def prepared(world: World, address: str) -> tuple[list[str], int]:
    """Codes, and the size of a reply."""
    async with world.api(address, CLIENT) as api:
        codes = await coupons(api)
        return codes, await reply_size(api, codes[0])


def main() -> None:
    """Measure this alone."""
    import asyncio

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="token-bench-")))
        folder.chmod(0o711)
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        valkey = stack.enter_context(EmbeddedValkey(folder / "valkey"))
        dsn = postgres.create_database("redeem")
        migrate(dsn)
        empty = World(dsn, valkey.url, SecretKeys.generate_text(), {}, "", "")
        world = asyncio.run(seed(empty))
        server = ServerProcess(
            world.environment(rate_scale="1000", max_unary_calls="5000", codes_per_caller="100000")
        )
        stack.callback(server.kill)
        codes, size = asyncio.run(prepared(world, server.address))
        echo, loader = Echo(redeem=size), Loader()
        stack.callback(echo.close)
        stack.callback(loader.close)
        authorization = basic(CLIENT, world.clients[CLIENT])
        for concurrency in (IN_FLIGHT, 1):
            ours: list[float] = []
            floor: list[float] = []
            for number in range(ROUNDS):
                path = write(folder, codes, f"{number}-{concurrency}", CALLS)
                for pid, address, method, kept in (
                    (server.process.pid, server.address, METHOD, ours),
                    (echo.pid, echo.address, "/echo/redeem", floor),
                ):
                    before = cpu_seconds(pid)
                    loader.run(
                        kind="cold",
                        count=CALLS,
                        concurrency=concurrency,
                        method=method,
                        address=address,
                        authorization=authorization,
                        requests=str(path),
                    )
                    kept.append(1e6 * (cpu_seconds(pid) - before) / CALLS)
            print(concurrency, median(ours), median(floor), median(ours) / median(floor))


if __name__ == "__main__":
    main()
