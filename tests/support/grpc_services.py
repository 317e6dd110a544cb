"""A service of all four shapes, in both kinds of server, whose messages are plain bytes."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, Self

import grpc
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from tests.support.waiting import PATIENCE
from tokenservice import PUBLIC, Route, current_principal

READ = Route(scopes=["orders.read"])
METHODS = {
    "/shop.Orders/Get": READ,
    "/shop.Orders/List": READ,
    "/shop.Orders/Put": READ,
    "/shop.Orders/Talk": READ,
    "/shop.Orders/Tick": READ,
    "/shop.Orders/Write": READ,
    "/shop.Orders/Abort": READ,
    "/shop.Orders/Fail": READ,
    "/shop.Orders/Pay": Route(max_auth_age=timedelta(seconds=600), acr="aal2"),
    "/shop.Health/*": PUBLIC,
}


def subject() -> bytes:
    return current_principal().subject.encode()


def nobody() -> bytes:
    try:
        current_principal()
    except LookupError:
        return b"nobody"
    return b"somebody"


class AsyncOrders:
    """Asynchronous handlers. `idle` is set when a stream waits, `ended` when one was ended."""

    def __init__(self) -> None:
        self.idle, self.ended = asyncio.Event(), asyncio.Event()

    async def get(self, _request: bytes, _context: Any) -> bytes:
        return subject()

    async def list(self, request: bytes, _context: Any) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield subject()
        if request == b"wait":
            await self._wait()

    async def put(self, requests: Any, _context: Any) -> bytes:
        count = 0
        async for request in requests:
            count += 1
            if request == b"wait":
                await self._wait()
        return subject() + str(count).encode()

    async def talk(self, requests: Any, _context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield subject() + request
            if request == b"wait":
                await self._wait()

    async def tick(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
        while True:
            yield b"tick"
            await asyncio.sleep(0.001)

    async def write(self, request: bytes, context: Any) -> None:
        await context.write(subject())
        if request == b"wait":
            await self._wait()

    async def abort(self, _request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"one"
        await context.abort(grpc.StatusCode.NOT_FOUND, "the handler's own")

    async def fail(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
        yield b"one"
        raise KeyError("its own")

    async def check(self, _request: bytes, _context: Any) -> bytes:
        return nobody()

    async def _wait(self) -> None:
        self.idle.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


class ThreadOrders:
    """The same for threads; a waiting handler notices that its call has ended."""

    def __init__(self) -> None:
        self.idle, self.ended = threading.Event(), threading.Event()

    def get(self, _request: bytes, _context: Any) -> bytes:
        return subject()

    def list(self, request: bytes, context: Any) -> Iterator[bytes]:
        for _ in range(3):
            yield subject()
        if request == b"wait":
            self._wait(context)

    def put(self, requests: Any, context: Any) -> bytes:
        count = 0
        for request in requests:
            count += 1
            if request == b"wait":
                self._wait(context)
        return subject() + str(count).encode()

    # An aio client that writes while the server ends the call may see the library's own INTERNAL
    # instead of the server's status, so no test writes what may be refused.
    def talk(self, requests: Any, context: Any) -> Iterator[bytes]:
        for request in requests:
            yield subject() + request
            if request == b"wait":
                self._wait(context)

    def tick(self, _request: bytes, _context: Any) -> Iterator[bytes]:
        while True:
            yield b"tick"
            time.sleep(0.001)

    def write(self, _request: bytes, _context: Any) -> Iterator[bytes]:
        return iter([subject()])

    def abort(self, _request: bytes, context: Any) -> Iterator[bytes]:
        yield b"one"
        context.abort(grpc.StatusCode.NOT_FOUND, "the handler's own")

    def fail(self, _request: bytes, _context: Any) -> Iterator[bytes]:
        yield b"one"
        raise KeyError("its own")

    def check(self, _request: bytes, _context: Any) -> bytes:
        return nobody()

    def _wait(self, context: Any) -> None:
        over = threading.Event()
        context.add_callback(over.set)
        self.idle.set()
        assert over.wait(PATIENCE)
        self.ended.set()


def handlers(orders: Any) -> list[grpc.GenericRpcHandler]:
    """The handlers of either class."""
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    return [
        grpc.method_handlers_generic_handler(
            "shop.Orders",
            {
                "Get": unary(orders.get),
                "Pay": unary(orders.get),
                "Unlisted": unary(orders.get),
                "List": stream(orders.list),
                "Tick": stream(orders.tick),
                "Write": stream(orders.write),
                "Abort": stream(orders.abort),
                "Fail": stream(orders.fail),
                "Put": grpc.stream_unary_rpc_method_handler(orders.put),
                "Talk": grpc.stream_stream_rpc_method_handler(orders.talk),
            },
        ),
        grpc.method_handlers_generic_handler("shop.Health", {"Check": unary(orders.check)}),
    ]


class Client:
    """Calls with one token; what is refused is kept as (code, reason, challenge)."""

    def __init__(self, address: str, token: str = "") -> None:
        self.address = address
        self.channel = grpc.aio.insecure_channel(address)
        self.metadata = grpc.aio.Metadata()
        if token:
            self.metadata.add("authorization", f"Bearer {token}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    async def unary(self, method: str = "/shop.Orders/Get", request: bytes = b"") -> Any:
        make: Any = self.channel.unary_unary(method)
        return await answered(make(request, metadata=self.metadata, timeout=PATIENCE))

    def list(self, request: bytes = b"", method: str = "/shop.Orders/List") -> Any:
        make: Any = self.channel.unary_stream(method)
        return make(request, metadata=self.metadata, timeout=PATIENCE)

    def put(self) -> Any:
        return self.channel.stream_unary("/shop.Orders/Put")(
            metadata=self.metadata, timeout=PATIENCE
        )

    # An aio client that writes while the server ends the call may see the library's own INTERNAL
    # instead of the server's status, so no test writes what may be refused.
    def talk(self, requests: AsyncIterator[bytes] | None = None) -> Any:
        make: Any = self.channel.stream_stream("/shop.Orders/Talk")
        return make(requests, metadata=self.metadata, timeout=PATIENCE)

    async def shapes(self) -> dict[str, Any]:
        """What calls of every shape come to."""
        return {
            "get": await self.unary(),
            "list": await collected(self.list()),
            "write": await collected(self.list(method="/shop.Orders/Write")),
            "put": await asyncio.to_thread(self._at_once, "Put", b"a", b"b"),
            "talk": await asyncio.to_thread(self._at_once, "Talk", b"a", b"b"),
        }

    def _at_once(self, method: str, *messages: bytes) -> Any:
        """Send messages that the server may not wait for. The library's client for threads tells
        the server's status whenever it comes."""
        with grpc.insecure_channel(self.address) as channel:
            make: Any = channel.stream_unary if method == "Put" else channel.stream_stream
            call = make(f"/shop.Orders/{method}")
            given = {"metadata": tuple(self.metadata), "timeout": PATIENCE}
            try:
                answer = call(iter(messages), **given)
                return answer if method == "Put" else list(answer)
            except grpc.RpcError as error:
                return refusal(error)


async def answered(call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return refusal(error)


async def collected(call: Any, answers: list[bytes] | None = None) -> Any:
    answers = [] if answers is None else answers
    try:
        async for message in call:
            answers.append(message)
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    return answers


async def sent(call: Any, *messages: bytes) -> Any:
    try:
        for message in messages:
            await call.write(message)
        await call.done_writing()
    except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
        pass  # it was ended before all was sent
    return await (collected(call) if hasattr(call, "read") else answered(call))


def refusal(error: Any) -> tuple[str, str, str]:
    """Status, reason, and challenge."""
    status = rpc_status.from_call(error)
    info, retry = ErrorInfo(), RetryInfo()
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(retry)
    # Not dict(): older versions' Metadata is a mapping that dict() cannot read.
    trailing = {key: value for key, value in error.trailing_metadata() or ()}  # noqa: C416
    challenge = str(trailing.get("www-authenticate", ""))
    if retry.retry_delay.seconds:
        challenge += f"retry after {retry.retry_delay.seconds}"
    return error.code().name, info.reason, challenge
