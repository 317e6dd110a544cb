"""The floor of the trust feed: a bare grpc.aio server that sends each message that is published
to all subscribers, encoded once.

Run as a process; prints its address. `/bare/Publish` answers when the subscribers were woken.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import uvloop
from google.protobuf.timestamp_pb2 import Timestamp

from tokenservice.v1 import token_service_pb2, trust_service_pb2, types_pb2


class Broadcast:
    """The newest message, and who waits for it."""

    def __init__(self) -> None:
        self.revision = 0
        self.message = b""
        self.waiting: list[asyncio.Future[None]] = []

    async def subscribe(self, request: bytes, context: Any) -> AsyncGenerator[bytes, None]:
        """Each message once."""
        del request, context
        loop = asyncio.get_running_loop()
        sent = self.revision
        yield message(sent)
        while True:
            if sent == self.revision:
                woken = loop.create_future()
                self.waiting.append(woken)
                await woken
            sent = self.revision
            yield self.message

    async def publish(self, request: bytes, context: Any) -> bytes:
        """Send the next message to all."""
        del request, context
        self.revision += 1
        self.message = message(self.revision)
        waiting, self.waiting = self.waiting, []
        for woken in waiting:
            if not woken.done():
                woken.set_result(None)
        answer = token_service_pb2.RevokeResponse(revision=self.revision)
        return answer.SerializeToString()


def message(revision: int) -> bytes:
    """As large as a delta with one entry."""
    now = Timestamp(seconds=int(time.time()), nanos=1)
    entry = trust_service_pb2.TrustEntry(
        revision=revision or 1,
        kind=trust_service_pb2.TRUST_ENTRY_KIND_SESSION,
        id="e" * 36,
        effect=trust_service_pb2.TRUST_EFFECT_REVOKE,
        keep_until=now,
        reason=types_pb2.REVOCATION_REASON_LOGOUT,
    )
    return trust_service_pb2.WatchTrustResponse(
        epoch="e" * 36,
        revision=revision,
        read_time=now,
        server_time=now,
        issuer="https://tokens.test",
        delta=trust_service_pb2.TrustDelta(from_revision=revision, entries=[entry]),
    ).SerializeToString()


async def main() -> None:
    """Serve until the process is killed."""
    broadcast = Broadcast()
    server = grpc.aio.server()
    handlers: dict[str, Any] = {
        "Subscribe": grpc.unary_stream_rpc_method_handler(broadcast.subscribe),
        "Publish": grpc.unary_unary_rpc_method_handler(broadcast.publish),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(json.dumps({"event": "serving", "address": f"127.0.0.1:{port}"}) + "\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main())
