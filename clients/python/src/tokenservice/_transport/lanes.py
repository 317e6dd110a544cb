"""The channels of a connection, used in turn: who answers comes first, who is stuck is replaced."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc

from tokenservice._transport.addresses import has_name
from tokenservice.v1.client_service_pb2_grpc import ClientServiceStub
from tokenservice.v1.code_service_pb2_grpc import CodeServiceStub
from tokenservice.v1.key_service_pb2_grpc import KeyServiceStub
from tokenservice.v1.pairing_service_pb2_grpc import PairingServiceStub
from tokenservice.v1.session_service_pb2_grpc import SessionServiceStub
from tokenservice.v1.token_service_pb2_grpc import TokenServiceStub
from tokenservice.v1.trust_service_pb2_grpc import TrustServiceStub
from tokenservice.v1.user_service_pb2_grpc import UserServiceStub

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenservice.v1.client_service_pb2_grpc import ClientServiceAsyncStub
    from tokenservice.v1.code_service_pb2_grpc import CodeServiceAsyncStub
    from tokenservice.v1.key_service_pb2_grpc import KeyServiceAsyncStub
    from tokenservice.v1.pairing_service_pb2_grpc import PairingServiceAsyncStub
    from tokenservice.v1.session_service_pb2_grpc import SessionServiceAsyncStub
    from tokenservice.v1.token_service_pb2_grpc import TokenServiceAsyncStub
    from tokenservice.v1.trust_service_pb2_grpc import TrustServiceAsyncStub
    from tokenservice.v1.user_service_pb2_grpc import UserServiceAsyncStub

SUSPECT_SECONDS: Final = 5.0
"""A server that did not answer comes last for so long."""

STUCK_SECONDS: Final = 5.0
"""A channel by name that fails for so long is opened anew, and its name looked up at once: gRPC
asks less and less often for a name that it did not find, every two minutes in the end."""

RETIRE_SECONDS: Final = 5.0
"""How long a channel that was replaced takes calls that were just beginning."""

GRACE_SECONDS: Final = 60.0
"""How long it then waits for calls in flight. Streams move by themselves before."""

PROBE: Final = "/grpc.health.v1.Health/Check"
PROBE_SECONDS: Final = 0.2

_READY: Final = grpc.ChannelConnectivity.READY
_FAILING: Final = grpc.ChannelConnectivity.TRANSIENT_FAILURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Stubs:
    """The services, over one channel. Every call needs a ``timeout`` and the caller's metadata."""

    tokens: TokenServiceAsyncStub
    trust: TrustServiceAsyncStub
    sessions: SessionServiceAsyncStub
    pairings: PairingServiceAsyncStub
    codes: CodeServiceAsyncStub
    clients: ClientServiceAsyncStub
    users: UserServiceAsyncStub
    keys: KeyServiceAsyncStub


class Lane:
    """One channel with its stubs. ``replaces`` says that it is there for one that failed: then it
    has to connect before anybody waits for it."""

    __slots__ = ("channel", "failing_since", "replaces", "stubs", "target")

    def __init__(self, target: str, channel: grpc.aio.Channel, *, replaces: bool = False) -> None:
        self.target = target
        self.channel = channel
        self.replaces = replaces
        self.failing_since: float | None = None
        self.stubs = Stubs(
            tokens=TokenServiceStub(channel),
            trust=TrustServiceStub(channel),
            sessions=SessionServiceStub(channel),
            pairings=PairingServiceStub(channel),
            codes=CodeServiceStub(channel),
            clients=ClientServiceStub(channel),
            users=UserServiceStub(channel),
            keys=KeyServiceStub(channel),
        )

    def state(self) -> grpc.ChannelConnectivity:
        """How it is connected; begins to connect if it is not."""
        return self.channel.get_state(try_to_connect=True)

    async def ready(self) -> Stubs:
        """Wait until it is connected."""
        await self.channel.channel_ready()
        return self.stubs

    async def cause(self) -> str:
        """What gRPC says of a channel that fails, which only a call is told; "" if it works now."""
        try:
            probe: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(PROBE)
            await probe(b"", timeout=PROBE_SECONDS)
        except grpc.aio.AioRpcError as error:
            return error.details() or error.code().name
        return ""


class Lanes:
    """Some channels to each target. ``open_channel`` opens one, a patient one where it is told so;
    ``clock`` gives monotonic seconds. Used on one event loop.
    """

    def __init__(
        self,
        targets: Sequence[str],
        channels: int,
        open_channel: Callable[[str, bool], grpc.aio.Channel],
        clock: Callable[[], float],
    ) -> None:
        self._open_channel = open_channel
        self._clock = clock
        self._turn = 0
        self._suspect_until: dict[str, float] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        # Neighbours lead to different servers.
        self._lanes = [
            Lane(target, open_channel(target, False)) for _ in range(channels) for target in targets
        ]

    def next(self) -> Lane:
        """Give the next lane, passing over servers that do not answer."""
        count = len(self._lanes)
        self._turn = (self._turn + 1) % count
        for step in range(count):
            position = (self._turn + step) % count
            if self._promising(position):
                return self._lanes[position]
        return self._lanes[self._turn]

    def of(self, stubs: Stubs) -> Lane | None:
        """Give the lane of these stubs; None once it was replaced."""
        return next((lane for lane in self._lanes if lane.stubs is stubs), None)

    def suspect(self, lane: Lane) -> None:
        """Let others come before this lane's server for a while."""
        self._suspect_until[lane.target] = self._clock() + SUSPECT_SECONDS

    async def ready_stubs(self, timeout: float) -> Stubs | None:
        """Give the stubs of a lane that is connected, waiting for one up to ``timeout`` seconds."""
        lane = self.next()
        if lane.state() is _READY:
            return lane.stubs
        waiting = {asyncio.ensure_future(one.ready()) for one in self._lanes}
        try:
            done, _ = await asyncio.wait(
                waiting, timeout=max(0.0, timeout), return_when=asyncio.FIRST_COMPLETED
            )
            return next((one.result() for one in done), None)
        finally:
            for one in waiting:
                one.cancel()

    async def cause(self) -> str:
        """What gRPC says of a lane that fails; "" where none does."""
        failing = next((lane for lane in self._lanes if lane.state() is _FAILING), None)
        return "" if failing is None else await failing.cause()

    def replace(self) -> None:
        """Open all channels anew, for what is new after this. Raises what opening raises."""
        fresh = [Lane(lane.target, self._open_channel(lane.target, False)) for lane in self._lanes]
        former, self._lanes = self._lanes, fresh
        for lane in former:
            self._retire(lane)

    async def close(self) -> None:
        """Close all; calls in flight are cancelled."""
        lanes, self._lanes = self._lanes, []
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await asyncio.gather(*(lane.channel.close() for lane in lanes))

    def _promising(self, position: int) -> bool:
        lane = self._lanes[position]
        state = lane.state()
        if state is _FAILING:
            self._failing(position)
            return False
        lane.failing_since = None
        if state is _READY:
            lane.replaces = False
        suspect_until = self._suspect_until.get(lane.target)
        if suspect_until is not None and self._clock() < suspect_until:
            return False
        return not lane.replaces

    def _failing(self, position: int) -> None:
        lane, now = self._lanes[position], self._clock()
        if lane.failing_since is None:
            lane.failing_since = now
        elif now - lane.failing_since >= STUCK_SECONDS and has_name(lane.target):
            fresh = Lane(lane.target, self._open_channel(lane.target, True), replaces=True)
            self._lanes[position] = fresh
            fresh.state()
            self._retire(lane)

    def _retire(self, lane: Lane) -> None:
        task = asyncio.create_task(_close_later(lane.channel))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


async def _close_later(channel: grpc.aio.Channel) -> None:
    try:
        await asyncio.sleep(RETIRE_SECONDS)
        await channel.close(grace=GRACE_SECONDS)
    finally:
        await channel.close()
