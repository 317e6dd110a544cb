"""A tiny service behind the real pipeline, on a real server."""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]
    BadRequest,
    ErrorInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from token_service.domain import durability
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.durability import Basis
from token_service.domain.errors import Reason, TokenServiceError, store_unavailable
from token_service.domain.kinds import ClientState, Permission
from token_service.rpc.admission import Gate
from token_service.rpc.calls.pipeline import BOUNDS, Pipeline
from token_service.rpc.calls.shared import ARRIVAL_SECONDS
from token_service.rpc.capacity import FailureLimiter
from token_service.rpc.methods import Method, Shape
from token_service.rpc.policy_table import (
    METHODS,
    WRONG_CREDENTIALS,
    Anonymous,
    MethodPolicy,
    Rate,
    Work,
)
from token_service.rpc.server import RpcServer, ServerOptions

ECHO_SERVICE = "test.Echo"
ECHO = "/test.Echo/Echo"
HOT = "/test.Echo/Hot"
STREAM = "/test.Echo/Stream"
OPEN = "/test.Echo/Open"
DIALOGUE = "/test.Echo/Dialogue"

Answer = Callable[[Caller, StringValue], Any]


def basic(client_id: str, secret: str = "right") -> str:  # noqa: S107
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


ALICE = (("authorization", basic("alice")),)
NOBODY = (("authorization", basic("nobody")),)
"""A client without any permission."""


def client(client_id: str, *permissions: Permission) -> Client:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Client(
        client_id=client_id,
        name=client_id,
        contact="",
        state=ClientState.ACTIVE,
        policy=ClientPolicy(permissions=frozenset(permissions)),
        valid_rev=0,
        registered_by="",
        reviewed_by="",
        review_note="",
        created_at=now,
        updated_at=now,
    )


@dataclass
class Clients:
    """An authenticator that knows two clients, and remembers whom it has seen."""

    by_authorization: dict[str, Client] = field(
        default_factory=lambda: {
            basic("alice"): client("alice", Permission.TOKENS_ISSUE),
            basic("nobody"): client("nobody"),
        }
    )
    by_certificate: dict[tuple[str, str], Client] = field(default_factory=dict)
    seen: dict[str, Client] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def recognise(self, authorization: str) -> Client | None:
        return self.seen.get(authorization)

    def is_cheap(self, authorization: str, *, client_id: str = "", thumbprint: str = "") -> bool:
        del client_id, thumbprint
        return authorization in self.seen or authorization.startswith("Bearer")

    async def __call__(
        self, stranger: Caller, authorization: str, *, client_id: str = "", thumbprint: str = ""
    ) -> Client:
        assert not stranger.client_id
        self.asked.append(authorization)
        await asyncio.sleep(0)
        found = self.by_authorization.get(authorization)
        if not authorization:
            found = self.by_certificate.get((client_id, thumbprint))
        if found is None:
            raise TokenServiceError(
                Reason.CALLER_UNAUTHENTICATED, "the caller is not authenticated"
            )
        self.seen[authorization] = found
        return found


class Settling:
    """Stands for the store's commits; counts them, and refuses while `away`."""

    def __init__(self) -> None:
        self.epoch = "first"
        self.settled: list[str | None] = []
        self.away = False

    def begin(self) -> Basis:
        return durability.start(self.epoch)

    async def settle(self, epoch: str | None) -> None:
        if self.away:
            raise store_unavailable()
        self.settled.append(epoch)

    async def confirm(self, fact: Hashable) -> None:
        raise AssertionError(f"nobody here knows {fact}")


@dataclass
class World:
    """A server of the tiny service; tests change its parts before or while it runs."""

    clients: Clients = field(default_factory=Clients)
    fresh: bool = True
    now: float = 1000.0
    answer: Answer = lambda _, request: request
    messages: Callable[[Caller, StringValue], AsyncGenerator[Any, None]] | None = None
    callers: list[Caller] = field(default_factory=list)
    durability: Settling = field(default_factory=Settling)
    pipeline: Pipeline | None = None
    server: RpcServer | None = None
    address: str = ""

    async def unary(self, caller: Caller, request: StringValue) -> Any:
        self.callers.append(caller)
        answer = self.answer(caller, request)
        return await answer if asyncio.iscoroutine(answer) else answer

    async def stream(self, caller: Caller, request: StringValue) -> AsyncGenerator[Any, None]:
        self.callers.append(caller)
        if self.messages is None:
            for letter in request.value:
                yield StringValue(value=letter)
            return
        async for message in self.messages(caller, request):
            yield message

    async def dialogue(
        self, caller: Caller, requests: AsyncIterator[StringValue]
    ) -> AsyncGenerator[Any, None]:
        self.callers.append(caller)
        async for request in requests:
            yield StringValue(value=request.value.upper())

    async def require_fresh(self) -> None:
        if not self.fresh:
            raise TokenServiceError(Reason.TRUST_STALE, "the trust log cannot be read")


_NEEDS = frozenset({Permission.TOKENS_ISSUE})
POLICIES: Mapping[str, MethodPolicy] = {
    **{name: row for name, row in METHODS.items() if name.startswith("/grpc.")},
    ECHO: MethodPolicy(any_of=_NEEDS, max_bytes=1024, rate=Rate(1, 1_000)),
    HOT: MethodPolicy(
        any_of=_NEEDS, max_bytes=1024, rate=Rate(1, 1_000), hot=True, acknowledges=False
    ),
    STREAM: MethodPolicy(
        any_of=_NEEDS, work=Work.STREAM, rate=Rate(1, 1_000), default_deadline=0.0
    ),
    OPEN: MethodPolicy(any_of=_NEEDS, anonymous=Anonymous.WHERE_OPEN, anonymous_rate=Rate(1, 3)),
    DIALOGUE: MethodPolicy(
        anonymous=Anonymous.ALWAYS,
        work=Work.PROBE_STREAM,
        anonymous_rate=Rate(1, 1_000),
        default_deadline=0.0,
    ),
}


@asynccontextmanager
async def serving(
    world: World | None = None,
    *,
    policies: Mapping[str, MethodPolicy] = POLICIES,
    bounds: Mapping[Work, int] = BOUNDS,
    open_registration: bool = False,
    client_certificates: bool = False,
    wrong_credentials: Rate = WRONG_CREDENTIALS,
    arrival: float = ARRIVAL_SECONDS,
    **options: Any,
) -> AsyncIterator[World]:
    """Serve the tiny service until the block ends."""
    world = world or World()
    gate = Gate(
        authenticator=world.clients,
        require_fresh=world.require_fresh,
        is_fresh=lambda: world.fresh,
        open_registration=open_registration,
        client_certificates=client_certificates,
        wrong_credentials=FailureLimiter(wrong_credentials, lambda: world.now),
    )
    pipeline = Pipeline(
        gate,
        world.durability,
        policies=policies,
        bounds=bounds,
        arrival=arrival,
        clock=lambda: world.now,
    )
    pipeline.add(
        [
            Method(ECHO, Shape.UNARY, StringValue, world.unary),
            Method(HOT, Shape.UNARY, StringValue, world.unary),
            Method(OPEN, Shape.UNARY, StringValue, world.unary),
            Method(STREAM, Shape.STREAM, StringValue, world.stream),
            Method(DIALOGUE, Shape.DIALOGUE, StringValue, world.dialogue),
        ]
    )
    standard = ServerOptions(listen="127.0.0.1:0", drain_delay=0.0, grace_period=5.0)
    world.pipeline = pipeline
    server = RpcServer(pipeline, replace(standard, **options), lambda: world.fresh)
    server.health.know([ECHO_SERVICE])
    world.server = server
    world.address = await server.start()
    try:
        yield world
    finally:
        await server.stop()


@asynccontextmanager
async def connected(
    world: World, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of its own to the server."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    if credentials is None:
        channel = grpc.aio.insecure_channel(world.address, options)
    else:
        channel = grpc.aio.secure_channel(world.address, credentials, options)
    async with channel:
        yield channel


def raw(value: str) -> bytes:
    return StringValue(value=value).SerializeToString()


def text(data: bytes) -> str:
    return StringValue.FromString(data).value


@dataclass(frozen=True)
class Failure:
    """What a failed call told."""

    code: grpc.StatusCode
    message: str
    reason: str
    fields: tuple[str, ...]
    retry_after: float | None
    request_id: str


async def failure(call: Any) -> Failure:
    """Await a call that must fail."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return told(error)
    raise AssertionError("the call succeeded")


def told(error: grpc.aio.AioRpcError) -> Failure:
    status: Status = rpc_status.from_call(error) or Status()
    reason, fields, retry_after = "", [], None
    for detail in status.details:
        info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Unpack(info):
            assert info.domain == "tokenservice"
            reason = info.reason
        elif detail.Unpack(bad):
            fields += [violation.field for violation in bad.field_violations]
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    metadata = dict(error.trailing_metadata() or ())
    return Failure(
        error.code(),
        error.details() or "",
        reason,
        tuple(fields),
        retry_after,
        str(metadata.get("x-request-id", "")),
    )


def unary_unary(channel: grpc.aio.Channel, method: str) -> Any:
    return channel.unary_unary(method)


def unary_stream(channel: grpc.aio.Channel, method: str) -> Any:
    return channel.unary_stream(method)


def stream_unary(channel: grpc.aio.Channel, method: str) -> Any:
    return channel.stream_unary(method)


def stream_stream(channel: grpc.aio.Channel, method: str) -> Any:
    return channel.stream_stream(method)
