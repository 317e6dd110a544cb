"""One server process: composed, started, tended and stopped."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Self

import structlog

from token_service.adapters.system import AnchoredSystemClock
from token_service.app.ending import Ending
from token_service.app.endpoints.metrics_endpoint import MetricsEndpoint
from token_service.app.endpoints.probes import PULSE_SECONDS, STARTING, STOPPING, Pulse
from token_service.app.errors import StartupError
from token_service.app.parts import Parts
from token_service.app.services import build_server
from token_service.app.sweeper import Sweeper
from token_service.config import Settings
from token_service.domain.errors import Reason, TokenServiceError
from token_service.rpc.metrics import Counts, RpcCollector
from token_service.rpc.server import BindError, RpcServer

SWEEP_SECONDS = 2.0
DEVICES_SECONDS = 60.0
CASCADES_SECONDS = 10.0
KEY_TICK_SECONDS = 5.0
PEPPERS_SECONDS = 600.0
ACTIVITY_FLUSH_SECONDS = 1.0

_log = structlog.get_logger("token_service")


class Application:
    """One server process: its parts, its gRPC server and its background work."""

    def __init__(self, settings: Settings, parts: Parts, *, shares_port: bool = False) -> None:
        self.settings = settings
        self._shares_port = shares_port
        self.parts = parts
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: RpcServer | None = None
        self._metrics: MetricsEndpoint | None = None
        self._sweeper = Sweeper(parts.removals())
        self._pulse = Pulse()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def create(
        cls, settings: Settings, parts: Parts | None = None, *, shares_port: bool = False
    ) -> Self:
        """Open the stores and load keys and trust; nothing is served yet. `shares_port` where other
        processes of ours may listen on the same one.

        Raises StartupError for what the operator has to change.
        """
        return cls(settings, parts or await Parts.open(settings), shares_port=shares_port)

    async def start(self) -> str:
        """Serve; the address on which. Raises StartupError when it cannot be listened on."""
        if self.parts.schema.newer:
            _log.warning("schema_is_newer", migrations=list(self.parts.schema.newer))
        await self.parts.hasher.start()
        self._loop = asyncio.get_running_loop()
        self._server = build_server(self.settings, self.parts, shares_port=self._shares_port)
        try:
            address = await self._server.start()
        except BindError as error:
            raise StartupError(f"TOKEN_SERVICE_GRPC_LISTEN: {error}") from error
        if self.settings.metrics_listen is not None:
            self._metrics = MetricsEndpoint(
                self.settings.metrics_listen, self, RpcCollector(self.counts)
            )
        self._every(PULSE_SECONDS, self._show_life)
        self._every(KEY_TICK_SECONDS, self._tend_keys)
        self._every(PEPPERS_SECONDS, self._retire_peppers)
        self._every(ACTIVITY_FLUSH_SECONDS, self._flush_activity)
        self._every(SWEEP_SECONDS, self._sweep)
        self._every(DEVICES_SECONDS, self._forget_devices)
        self._every(CASCADES_SECONDS, self._resume_cascades)
        return address

    def counts(self) -> Counts:
        """What was counted of all calls so far, and what is held now. Any thread may ask."""
        if self._server is None or self._loop is None:
            return Counts()
        held = {
            "tasks": len(asyncio.all_tasks(self._loop)),
            "trust_entries": self.parts.trust.state.size,
            "identities": len(self.parts.identities),
            "active_sessions": len(self.parts.activity),
        }
        troubles = {
            "stale_view": int(not self.parts.trust.is_fresh()),
            "asynchronous_replication": int(self.parts.replication.synchronous is False),
            "late_beat": int(self.parts.follower.late_beat),
            "unknown_server": int(self.parts.follower.unknown_server),
        }
        epochs = dict(self.parts.follower.epochs_begun)
        return replace(self._server.counts(), held=held, troubles=troubles, epochs=epochs)

    def why_not_live(self) -> str:
        """See Probes."""
        return self._pulse.why_not_live("the server")

    def why_not_ready(self) -> str:
        """See Probes."""
        if self._server is None:
            return STARTING
        if not self._server.health.serving:
            return STOPPING
        if self.parts.trust.is_fresh() and self.parts.replication.sufficient:
            return ""
        if not self.parts.replication.sufficient:
            return "replication is not synchronous: TOKEN_SERVICE_POSTGRES_SYNCHRONOUS requires it"
        limit = self.settings.staleness_limit.total_seconds()
        away = "no commit gets through" if self.parts.follower.late_beat else "is PostgreSQL away?"
        return f"the trust log was not read for more than {limit:g} s: {away}"

    async def stop(self, *, hands_over: bool = False) -> None:
        """Finish what is in flight within the grace period, then close everything; `hands_over`
        where others serve on at the same address."""
        if self._server is not None:
            await (self._server.hand_over() if hands_over else self._server.stop())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.parts.shield.drain()
        with contextlib.suppress(TokenServiceError):
            await self.parts.activity.flush()
        if self._metrics is not None:
            await self._metrics.close()
        await self.parts.close()

    def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            while True:
                await asyncio.sleep(seconds)
                try:
                    await work()
                except TokenServiceError as error:
                    # Of a store that is away the store itself tells, once.
                    away = error.reason is Reason.STORE_UNAVAILABLE
                    tell = _log.info if away else _log.warning
                    tell("background_work_failed", work=work.__name__, reason=error.reason)
                except Exception:  # noqa: BLE001 - the next round may succeed
                    _log.exception("background_work_failed", work=work.__name__)

        self._tasks.append(asyncio.create_task(run(), name=work.__name__.strip("_")))

    async def _show_life(self) -> None:
        self._pulse.beat()
        if self._server is not None:
            self._server.health.look()

    async def _tend_keys(self) -> None:
        await self.parts.key_maintenance.tick()

    async def _retire_peppers(self) -> None:
        await self.parts.key_maintenance.retire_unused_peppers()

    async def _flush_activity(self) -> None:
        await self.parts.activity.flush()

    async def _sweep(self) -> None:
        await self._sweeper(self.parts.clock.now())

    async def _forget_devices(self) -> None:
        await self.parts.sessions.forget_devices(self.parts.clock.now())

    async def _resume_cascades(self) -> None:
        await self.parts.revocations.resume(self.parts.clock.now())


async def serve(
    settings: Settings,
    on_ready: Callable[[str], Awaitable[None]] | None = None,
    clock: AnchoredSystemClock | None = None,
) -> int:
    """Run one server until SIGTERM, SIGINT or SIGHUP; 0 after a graceful stop."""
    ending = Ending()
    ending.on_signals(signal.SIGHUP)
    if settings.plaintext_beyond_this_machine:
        _log.warning("plaintext_beyond_this_machine", listen=settings.grpc_listen)
    application = await Application.create(settings, await Parts.open(settings, clock))
    try:
        address = await application.start()
        collect_less()
        _log.info("serving", address=address)
        if on_ready is not None:
            await on_ready(address)
        await ending.wait()
        _log.info("stopping")
    finally:
        await application.stop()
    _log.info("stopped")
    return 0


def collect_less() -> None:
    """What was loaded until now stays; what calls leave behind goes by itself, nearly all of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
