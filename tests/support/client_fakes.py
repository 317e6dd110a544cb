"""Time, randomness, a connection and a service that tests move by hand."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped] # has no stubs
    BadRequest,
    ErrorInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # has no stubs
from grpc import StatusCode

from tokenservice import (
    AccessToken,
    Connection,
    TokenClient,
    TokenServiceError,
    TokenSet,
    Unreachable,
)
from tokenservice._errors import class_of
from tokenservice._outgoing.server_time import ServerTime
from tokenservice._transport.calls import Calls
from tokenservice._transport.connection import Metadata
from tokenservice._transport.lanes import Stubs
from tokenservice.core import AccessFormat, AnchoredClock, TokenKind

if TYPE_CHECKING:
    from google.protobuf.message import Message

LIFETIME = 300.0


class FakeTime:
    """One time for all clocks; sleeping moves it."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def server_time(self) -> ServerTime:
        return ServerTime(self, AnchoredClock(self))


def half() -> float:
    """Randomness in the middle."""
    return 0.5


def rpc_error(
    code: StatusCode,
    reason: str = "",
    *,
    retry_after: float | None = None,
    fields: Iterable[tuple[str, str]] = (),
    domain: str = "tokenservice",
    request_id: str = "r-1",
    text: str = "the text",
) -> grpc.aio.AioRpcError:
    """What a failed call raises."""
    status = Status(code=code.value[0], message=text)
    details: list[Message] = []
    if reason:
        details.append(ErrorInfo(domain=domain, reason=reason))
    if fields:
        violations = [BadRequest.FieldViolation(field=f, description=d) for f, d in fields]
        details.append(BadRequest(field_violations=violations))
    if retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(retry_after * 1e9))
        details.append(RetryInfo(retry_delay=delay))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    metadata = grpc.aio.Metadata(
        ("grpc-status-details-bin", status.SerializeToString()), ("x-request-id", request_id)
    )
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details=text)


class FakeConnection:
    """Hands out one method, which answers from a script; a number in it takes that many seconds
    and then the deadline is over."""

    def __init__(self, time: FakeTime, *script: Any) -> None:
        self.time = time
        self.script = list(script)
        self.timeouts: list[float] = []
        self.requests: list[Any] = []
        self.reachable = True
        self.renewable = False
        self.renewed = 0
        self.failures = 0

    def stubs(self) -> Stubs:
        return cast("Stubs", self)

    async def ready_stubs(self, _: float) -> Stubs:
        if not self.reachable:
            raise Unreachable("", "no server can be reached", StatusCode.UNAVAILABLE)
        return self.stubs()

    def failed(self, _: Stubs, error: Unreachable) -> None:
        self.failures += 1
        error.targets = (f"server-{self.failures}",)

    def current(self, _: Stubs) -> bool:
        return True

    async def metadata(self) -> Metadata:
        return (("authorization", f"Basic {self.renewed}"),)

    def rejected(self, _: Metadata) -> bool:
        self.renewed += self.renewable
        return self.renewable

    async def method(self, request: Any, **how: Any) -> Any:
        self.requests.append(request)
        timeout: float = how["timeout"]
        self.timeouts.append(timeout)
        answer = self.script.pop(0)
        if isinstance(answer, float):
            self.time.now += min(answer, timeout)
            answer = rpc_error(StatusCode.DEADLINE_EXCEEDED)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def calls(self, random: Callable[[], float] = half) -> Calls:
        """Calls over this connection."""
        return Calls(
            cast("Connection", self), clock=self.time, random=random, sleep=self.time.sleep
        )


def at(unix: float) -> datetime:
    """The time of so many Unix seconds."""
    return datetime.fromtimestamp(unix, UTC)


def access(token: str, expires_at: float, audience: str = "orders") -> AccessToken:
    """An access token."""
    return AccessToken(
        token=token,
        audience=audience,
        scopes=("orders.read",),
        format=AccessFormat.JWT,
        expires_at=at(expires_at),
    )


def token_set(session: int, generation: int, expires_at: float) -> TokenSet:
    """Generation n of a session, with names that tell which."""
    return TokenSet(
        session_token=f"session-{session}.{generation}",
        session_kind=TokenKind.API_SESSION,
        session_id=f"id-{session}",
        idle_expires_at=at(expires_at + 1_000),
        absolute_expires_at=at(expires_at + 10_000),
        access_tokens=(access(f"access-{session}.{generation}", expires_at),),
    )


def unreachable() -> Unreachable:
    """Nobody answered."""
    return Unreachable("", "nobody answered", StatusCode.UNAVAILABLE)


def refusal(reason: str, code: StatusCode = StatusCode.UNAUTHENTICATED) -> TokenServiceError:
    """The service said no."""
    return class_of(reason, code)(reason, "no", code)


class FakeService:
    """Logs in and exchanges as the service does, each token once; replies can get lost.

    `lost` counts replies that get lost after the commit, `failures` are raised before it. While
    `gate` is closed, calls wait.
    """

    def __init__(self, time: FakeTime) -> None:
        self.time = time
        self.logins = 0
        self.exchanges: list[tuple[str, bytes, tuple[str, ...], tuple[str, ...]]] = []
        self.lost = 0
        self.failures: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._current: dict[int, int] = {}
        self._exchanged: dict[str, bytes] = {}
        self.over: set[int] = set()

    @property
    def client(self) -> TokenClient:
        """It, where a client is due."""
        return cast("TokenClient", self)

    async def login_as_client(self, **_: Any) -> TokenSet:
        await self._reached()
        self.logins += 1
        self._current[self.logins] = 0
        return self._tokens(self.logins)

    async def exchange(self, token: str, **request: Any) -> TokenSet:
        once: bytes = request["exchange_id"]
        self.exchanges.append((token, once, tuple(request["audiences"]), tuple(request["scopes"])))
        await self._reached()
        session, generation = map(int, token.removeprefix("session-").split("."))
        if session in self.over:
            raise refusal("TOKEN_REVOKED")
        replayed = generation == self._current[session] - 1 and self._exchanged[token] == once
        if not replayed and generation != self._current[session]:
            self.over.add(session)
            raise refusal("TOKEN_REUSED")
        if not replayed:
            self._current[session] += 1
            self._exchanged[token] = once
        if self.lost:
            self.lost -= 1
            raise unreachable()
        return replace(self._tokens(session), replayed=replayed)

    async def _reached(self) -> None:
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)

    def _tokens(self, session: int) -> TokenSet:
        return token_set(session, self._current[session], self.time.now + LIFETIME)
