"""The floor: a bare grpc.aio server that answers with as many bytes as the service would.

Run as a process; prints its address. Replies are given as `/echo/<name>` → size on the command
line, e.g. `validate=400 exchange=900`.
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


async def main(sizes: dict[str, int]) -> None:
    """Serve until the process is killed."""
    server = grpc.aio.server()
    handlers: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(handler_of(b"e" * size))
        for name, size in sizes.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(json.dumps({"event": "serving", "address": f"127.0.0.1:{port}"}) + "\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    pairs = (argument.split("=") for argument in sys.argv[1:])
    uvloop.run(main({name: int(size) for name, size in pairs}))
