"""A gRPC service behind the token service; its messages are plain bytes for brevity."""

import asyncio
import os

import grpc

from tokenservice import Connection, Route, Validator, current_principal
from tokenservice.middleware.grpc_aio import TokenInterceptor


async def get(_request: bytes, _context: object) -> bytes:
    """Say who is calling."""
    return current_principal().subject.encode()


HANDLERS = grpc.method_handlers_generic_handler(
    "shop.Orders", {"Get": grpc.unary_unary_rpc_method_handler(get)}
)
METHODS = {"/shop.Orders/Get": Route(scopes=["orders.read"])}


async def serve() -> None:
    """Serve until interrupted."""
    async with (
        Connection.from_env() as connection,
        Validator(connection) as validator,
    ):
        interceptor = TokenInterceptor(validator, audience="orders", methods=METHODS)
        server = grpc.aio.server(interceptors=[interceptor])
        server.add_generic_rpc_handlers([HANDLERS])
        port = server.add_insecure_port(f"127.0.0.1:{os.environ.get('PORT', '8000')}")
        await server.start()
        print(f"Serving on http://127.0.0.1:{port}", flush=True)
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
