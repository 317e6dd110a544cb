"""Channels to the token service, and the caller's credentials on each call.

::

    async with Connection(
        "tokens.internal:50051", ClientSecret("shop-gateway", secret), tls=Tls()
    ) as connection:
        client = TokenClient(connection)

Open one per process and event loop, after any fork, and share it: a client, a validator and
token sources all take it.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import grpc

from tokenservice.addresses import bare_address, is_local
from tokenservice.credentials import CallerCredentials, ClientCertificate, Renewable
from tokenservice.v1.code_service_pb2_grpc import CodeServiceStub
from tokenservice.v1.pairing_service_pb2_grpc import PairingServiceStub
from tokenservice.v1.session_service_pb2_grpc import SessionServiceStub
from tokenservice.v1.token_service_pb2_grpc import TokenServiceStub
from tokenservice.v1.trust_service_pb2_grpc import TrustServiceStub

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenservice.v1.code_service_pb2_grpc import CodeServiceAsyncStub
    from tokenservice.v1.pairing_service_pb2_grpc import PairingServiceAsyncStub
    from tokenservice.v1.session_service_pb2_grpc import SessionServiceAsyncStub
    from tokenservice.v1.token_service_pb2_grpc import TokenServiceAsyncStub
    from tokenservice.v1.trust_service_pb2_grpc import TrustServiceAsyncStub

Metadata: TypeAlias = tuple[tuple[str, str], ...]

DEFAULT_CHANNELS: Final = 4

SUSPECT_SECONDS: Final = 5.0

_CLIENT_ID_KEY: Final = "x-client-id"
_READY: Final = grpc.ChannelConnectivity.READY
_FAILING: Final = grpc.ChannelConnectivity.TRANSIENT_FAILURE

_OPTIONS: Final = (
    # Channels to one address otherwise share a connection, and with it one worker of the server.
    ("grpc.use_local_subchannel_pool", 1),
    # A name with several addresses: calls go to all of them.
    ("grpc.lb_policy_name", "round_robin"),
    # A DNS record must not be able to change how calls are retried.
    ("grpc.service_config_disable_resolution", 1),
    # A server that restarted is found again within seconds; the defaults go up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    # A peer that vanished is noticed within 30 seconds. Servers allow a ping each ten seconds.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """How to recognise the server, and what to present to it. All PEM; bytes or a file's path.

    Without ``authorities`` those that come with gRPC are trusted. ``certificate`` (the chain) and
    ``key`` are for servers that ask for a client certificate. ``server_name`` is checked instead
    of the address's host, for servers reached by an address that their certificate does not name.
    """

    authorities: bytes | Path | None = None
    certificate: bytes | Path | None = None
    key: bytes | Path | None = field(default=None, repr=False)
    server_name: str = ""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are needed together")

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Read the files. Raises OSError."""
        read = [
            one.read_bytes() if isinstance(one, Path) else one
            for one in (self.authorities, self.key, self.certificate)
        ]
        return grpc.ssl_channel_credentials(*read)


@dataclass(frozen=True, slots=True)
class Stubs:
    """The services, over one channel. Every call needs a ``timeout`` and the caller's metadata."""

    tokens: TokenServiceAsyncStub
    trust: TrustServiceAsyncStub
    sessions: SessionServiceAsyncStub
    pairings: PairingServiceAsyncStub
    codes: CodeServiceAsyncStub


class _Lane:
    """One channel with its stubs."""

    __slots__ = ("channel", "stubs", "target")

    def __init__(self, target: str, channel: grpc.aio.Channel) -> None:
        self.target = target
        self.channel = channel
        self.stubs = Stubs(
            TokenServiceStub(channel),
            TrustServiceStub(channel),
            SessionServiceStub(channel),
            PairingServiceStub(channel),
            CodeServiceStub(channel),
        )

    def state(self) -> grpc.ChannelConnectivity:
        return self.channel.get_state(try_to_connect=True)


class Connection:
    """Several channels to one or more servers, used in turn; a server that is down is passed over.

    ``targets`` are ``host:port``, ``unix:/path`` or names in gRPC's own form. ``channels`` is the
    number per target: the kernel gives each to one worker of a server, so take two to four times
    as many as it has workers. Without ``tls`` only servers on this machine are called, unless
    ``allow_plaintext`` says that the network may read passwords and tokens.

    Raises ValueError for targets that cannot be called so. Nothing is opened before the first
    use; that fixes the event loop and the process, and use in another raises RuntimeError.
    """

    def __init__(
        self,
        targets: str | Sequence[str],
        credentials: CallerCredentials,
        *,
        tls: Tls | None = None,
        channels: int = DEFAULT_CHANNELS,
        allow_plaintext: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._targets = _checked(targets, tls, allow_plaintext=allow_plaintext)
        if channels < 1:
            raise ValueError("at least one channel is needed")
        if isinstance(credentials, ClientCertificate) and (tls is None or tls.certificate is None):
            raise ValueError("calling by certificate needs tls with a certificate")
        self._credentials = credentials
        self._tls = tls
        self._channels = channels
        self._lanes: list[_Lane] = []
        self._turn = 0
        self._clock = clock
        self._suspect_until: dict[str, float] = {}
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"Connection({', '.join(self._targets)})"

    @property
    def credentials(self) -> CallerCredentials:
        """As whom it calls."""
        return self._credentials

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channels; calls in flight are cancelled. May be called again."""
        self._closed = True
        lanes, self._lanes = self._lanes, []
        await asyncio.gather(*(lane.channel.close() for lane in lanes))

    def stubs(self) -> Stubs:
        """Give the stubs of the next channel, passing over servers that do not answer."""
        return self._next().stubs

    def failed(self, stubs: Stubs) -> None:
        """Take note that a call by these stubs was not answered: others come first for a while.

        A server that went silent still looks connected, until the keepalive finds out.
        """
        for lane in self._lanes:
            if lane.stubs is stubs:
                self._suspect_until[lane.target] = self._clock() + SUSPECT_SECONDS

    async def ready_stubs(self, timeout: float) -> Stubs | None:
        """Give the stubs of a channel that is connected, waiting for one up to ``timeout`` seconds.

        None when no server could be reached: then nothing has been sent.
        """
        lane = self._next()
        if lane.state() is _READY:
            return lane.stubs
        waiting = {asyncio.ensure_future(_ready(lane)) for lane in self._lanes}
        try:
            done, _ = await asyncio.wait(
                waiting, timeout=max(0.0, timeout), return_when=asyncio.FIRST_COMPLETED
            )
            return next((one.result() for one in done), None)
        finally:
            for one in waiting:
                one.cancel()

    async def metadata(self) -> Metadata:
        """Give the caller's authorization as of now. Raises TokenServiceError."""
        credentials = self._credentials
        if isinstance(credentials, ClientCertificate):
            return ((_CLIENT_ID_KEY, credentials.client_id),)
        return (("authorization", await credentials.authorization()),)

    def rejected(self, metadata: Metadata) -> bool:
        """Take note that the service does not know the caller by this metadata.

        Returns whether asking for it again may give a better one.
        """
        credentials = self._credentials
        if not isinstance(credentials, Renewable):
            return False
        for _, authorization in metadata:
            credentials.rejected(authorization)
        return True

    def _next(self) -> _Lane:
        self._open()
        count = len(self._lanes)
        self._turn = (self._turn + 1) % count
        in_turn = [self._lanes[(self._turn + step) % count] for step in range(count)]
        return next((lane for lane in in_turn if self._promising(lane)), in_turn[0])

    def _promising(self, lane: _Lane) -> bool:
        suspect_until = self._suspect_until.get(lane.target)
        if suspect_until is not None and self._clock() < suspect_until:
            return False
        return lane.state() is not _FAILING

    def _open(self) -> None:
        home = (os.getpid(), asyncio.get_running_loop())
        if self._home is None and not self._closed:
            # Neighbours lead to different servers.
            self._lanes = [
                _Lane(target, self._channel(target))
                for _ in range(self._channels)
                for target in self._targets
            ]
            self._home = home
        if self._closed:
            raise RuntimeError("the connection is closed")
        if self._home != home:
            raise RuntimeError(
                "the connection was opened in another process or event loop; open one in each"
            )

    def _channel(self, target: str) -> grpc.aio.Channel:
        if self._tls is None:
            # A proxy named in the environment would take what is meant for this machine.
            options = [*_OPTIONS, ("grpc.enable_http_proxy", 0)]
            return grpc.aio.insecure_channel(target, options=options)
        name = self._tls.server_name
        options = [*_OPTIONS, *([("grpc.ssl_target_name_override", name)] if name else [])]
        return grpc.aio.secure_channel(target, self._tls.channel_credentials(), options=options)


async def _ready(lane: _Lane) -> Stubs:
    await lane.channel.channel_ready()
    return lane.stubs


def _checked(
    targets: str | Sequence[str], tls: Tls | None, *, allow_plaintext: bool
) -> tuple[str, ...]:
    listed = (targets,) if isinstance(targets, str) else tuple(targets)
    if not listed or not all(listed):
        raise ValueError("no server to call")
    checked = tuple(bare_address(target, secure=tls is not None) for target in listed)
    if tls is None and not allow_plaintext:
        for target in checked:
            if not is_local(target):
                raise ValueError(
                    f"{target} is not on this machine: secrets would travel in the clear; "
                    "give tls=Tls(…), or allow_plaintext=True"
                )
    return checked
