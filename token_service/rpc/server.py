"""The gRPC server: its options, its standard services, its start and its graceful stop."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor

from token_service.rpc import health, reflection
from token_service.rpc.calls.pipeline import Pipeline
from token_service.rpc.methods import methods_of
from token_service.rpc.metrics import Counts
from token_service.rpc.network.connections import PAUSE, ConnectionLimits, Connections, affordable
from token_service.rpc.network.tls import TlsFiles, server_credentials
from token_service.rpc.policy_table import Work

MAX_METADATA_BYTES = 16 * 1024
CONNECTION_GRACE_MS = 60_000
MOST_PENDING = 10_000
"""Calls that may wait for the loop before the library drops some of them, by chance and with a bare
CANCELLED: as many as a few connections can open before they are ended for it."""
HAND_OVER_SECONDS = 0.5
SETTLING_SECONDS = 0.05
PROBES = frozenset({Work.PROBE, Work.PROBE_STREAM})
"""What is still answered while a stopping server tells that it is not serving."""

_log = structlog.stdlib.get_logger("token_service.rpc")


class BindError(OSError):
    """The address cannot be listened on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Where and how to serve. `listen` is `host:port` or `unix:/path`; times are in seconds."""

    listen: str
    tls: TlsFiles | None = None
    reflection: bool = False
    reuse_port: bool = False
    handshake_timeout: float = 10.0
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    max_connection_streams: int = 1_000
    max_connection_age: float = 600.0
    drain_delay: float = 0.5
    grace_period: float = 20.0


class RpcServer:
    """Serves what is added to it, and the standard health service.

    New calls are refused as soon as `stop` begins; those in flight have the grace period. `usable`
    says whether what is added can answer now, for the health service.
    """

    def __init__(
        self, pipeline: Pipeline, options: ServerOptions, usable: Callable[[], bool]
    ) -> None:
        self._pipeline = pipeline
        most = affordable(options.connections.most)
        self._options = replace(options, connections=replace(options.connections, most=most))
        self._server = grpc.aio.server(options=_channel_options(self._options, pipeline))
        self._watching: asyncio.Task[None] | None = None
        self._services: list[str] = []
        self.health = health.Health(usable)
        pipeline.add(methods_of(health.SERVICE, self.health))

    def counts(self) -> Counts:
        """Counts and durations of all calls so far."""
        return self._pipeline.counts()

    def add(self, service: ServiceDescriptor, servicer: object) -> None:
        """Offer `service`, each method handled by the servicer's attribute of its name in snake
        case. Raises LookupError for a method without a row in the policy table."""
        self._pipeline.add(methods_of(service, servicer))
        self._services.append(service.full_name)

    async def start(self) -> str:
        """Listen; the address with the port that was bound. Raises BindError."""
        options = self._options
        if options.reflection:
            names = [health.SERVICE.full_name, *self._services]
            self._pipeline.add(reflection.methods(names))
        self.health.know(self._services)
        self._server.add_generic_rpc_handlers((self._pipeline,))
        try:
            if options.tls is None:
                port = self._server.add_insecure_port(options.listen)
            else:
                port = self._server.add_secure_port(options.listen, server_credentials(options.tls))
        except RuntimeError as error:
            raise BindError(f"cannot listen on {options.listen}") from error
        await self._server.start()
        self.health.tell(serving=True)
        self._watching = asyncio.create_task(self._watch(port))
        if options.listen.startswith("unix:"):
            return options.listen
        return f"{options.listen.rpartition(':')[0]}:{port}"

    async def stop(self) -> None:
        """Tell that nothing is served, refuse new calls, end streams, let calls in flight finish
        within the grace period, close the connections."""
        options = self._options
        self.health.tell(serving=False)
        self._pipeline.stop(*(work for work in Work if work not in PROBES))
        await asyncio.sleep(options.drain_delay)
        self._pipeline.stop(*PROBES)
        await self._server.stop(options.grace_period)
        self._stop_watching()

    async def hand_over(self) -> None:
        """Finish what is in flight, where others serve on at the same address. The process has to
        end right after that, which closes the connections.

        New calls are refused meanwhile, and retried, so it is a matter of moments. The library's
        own stop comes in where a call takes longer than those: it lets connections end gently, but
        what arrives too late it answers with CANCELLED, which no client retries. It would remove
        a socket's path as well, which leads to those others already."""
        self._pipeline.stop(*Work)
        if self._options.listen.startswith("unix:"):
            await self._idle(self._options.grace_period)
        elif not await self._idle(HAND_OVER_SECONDS):
            await self._server.stop(self._options.grace_period)
        await asyncio.sleep(SETTLING_SECONDS)  # the last replies are on their way
        self._stop_watching()

    async def _watch(self, port: int) -> None:
        """Tend what no call of its own tends: connections, and calls that have not begun."""
        tend = self._pipeline.end_late
        if self._options.listen.startswith("unix:"):
            while True:
                await asyncio.sleep(PAUSE)
                tend()
        await Connections(port, self._pipeline.shared.peers, self._options.connections).watch(tend)

    def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _idle(self, within: float) -> bool:
        """Wait for the end of the last call, but not longer than `within` seconds."""
        waited = 0.0
        while self._pipeline.busy and waited < within:
            await asyncio.sleep(SETTLING_SECONDS)
            waited += SETTLING_SECONDS
        return not self._pipeline.busy


def _channel_options(options: ServerOptions, pipeline: Pipeline) -> Sequence[tuple[str, int]]:
    return (
        # Requests are small; one that is compressed could be a thousand times what it seems.
        ("grpc.compression_enabled_algorithms_bitset", 1 << grpc.Compression.NoCompression),
        ("grpc.max_allowed_incoming_connections", options.connections.most),
        ("grpc.server.max_pending_requests", MOST_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", MOST_PENDING),
        ("grpc.so_reuseport", int(options.reuse_port)),
        ("grpc.max_concurrent_streams", options.max_connection_streams),
        ("grpc.max_receive_message_length", pipeline.largest_request),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.max_connection_age_ms", int(options.max_connection_age * 1000)),
        ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_MS),
        ("grpc.server_handshake_timeout_ms", int(options.handshake_timeout * 1000)),
        # A peer that is gone is noticed within a minute and a half.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # The library would answer a flood of pings with work that grows with its square (1.85: four
        # connections stop all others for 13 s). What a stranger may send is bounded anyway.
        ("grpc.http2.max_ping_strikes", 0),
    )
