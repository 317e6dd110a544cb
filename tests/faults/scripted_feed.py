"""A server whose trust feed does what a script says; it answers nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

import grpc

from tokenservice.v1 import trust_service_pb2 as pb

Script = Callable[[pb.WatchTrustRequest], AsyncIterator[pb.WatchTrustResponse]]


class ScriptedFeed:
    """Each stream runs the script; `requests` are what was asked for.

    A script that raises `Ended` ends its stream with that status.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[pb.WatchTrustRequest] = []
        self.address = ""
        self._server = grpc.aio.server()

    async def __aenter__(self) -> Self:
        watch = grpc.unary_stream_rpc_method_handler(
            self._watch, pb.WatchTrustRequest.FromString, pb.WatchTrustResponse.SerializeToString
        )
        service = "tokenservice.v1.TrustService"
        handler = grpc.method_handlers_generic_handler(service, {"WatchTrust": watch})
        self._server.add_generic_rpc_handlers((handler,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._server.stop(None)

    async def _watch(self, request: pb.WatchTrustRequest, context: Any) -> Any:
        self.requests.append(request)
        try:
            async for message in self.script(request):
                yield message
        except Ended as end:
            await context.abort(end.code, "as the script says")


class Ended(Exception):  # noqa: N818 - not a fault
    """The stream ends here."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__(code)
        self.code = code


async def for_ever() -> None:
    """Say nothing more."""
    await asyncio.Event().wait()
