"""The floor: a bare grpc.aio server that answers with as many bytes as the service would.

Run as a process; prints its address. The command line has the port, 0 for a free one, and the
replies as `/echo/<name>` → size, e.g. `0 validate=400 exchange=900`.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import uvloop


def handler_of(reply: bytes) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """A handler that does nothing at all."""

    async def handler(request: bytes, context: Any) -> bytes:
        del request, context
        return reply

    return handler


async def main(port: str, sizes: dict[str, int]) -> None:
    """Serve until the process is killed."""
    server = grpc.aio.server()
    handlers: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(handler_of(b"e" * size))
        for name, size in sizes.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo", handlers),))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    sys.stdout.write(json.dumps({"event": "serving", "address": f"127.0.0.1:{bound}"}) + "\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    pairs = (argument.split("=") for argument in sys.argv[2:])
    uvloop.run(main(sys.argv[1], {name: int(size) for name, size in pairs}))
