"""One run, from the first process to the verdict."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.soak.context import Context, Person
from tests.soak.day import Plan, Rates
from tests.soak.limits import Course
from tests.soak.load import Load
from tests.soak.readings import GatewayProcess, Reading, metrics
from tests.soak.report import Result
from tests.soak.tally import Tally
from tests.soak.world import AUDIENCE, SoakWorld, prepare, rows
from tests.support.ports import fixed_port
from tests.support.servers import ServerProcess
from tokenservice.v1 import token_service_pb2 as pb

PEOPLE = 20
READ_SECONDS = 2.0
TELL_SECONDS = 15.0
SETTLE_SECONDS = 30.0
"""How long a pause may take until nothing is in flight."""
IDLE_READINGS = 4
BATCH = 250
GONE = "ExecuteBatchError"
"""What the library logs, now and then, of a caller who was gone before the reply."""
MOST_COMPLAINTS = 10
"""That are shown."""


class Soak:
    """`say` is told how it goes."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan = plan
        self._say = say
        self.tally = Tally()
        self._people: list[Person] = []
        self._readings: list[tuple[Reading, Reading]] = []
        self._faults: list[str] = []
        self._told: set[str] = set()
        self._started = time.monotonic()

    async def run(self, dsn: str, redis_url: str) -> Result:
        """Do it all."""
        self._note("clients and tokens are made")
        plan = self.plan
        world = await prepare(dsn, redis_url, plan.prefill)
        async with self._processes(world) as (server, gateway):
            async with self._watched(server, gateway):
                # Together: what is kept for long lies among what is not, as it does after hours.
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._fill(world, server, plan.rush_seconds))
                    if plan.rush_seconds:
                        rush_load = self._load(world, server, gateway, plan.rush_seconds, plan.rush)
                        group.create_task(rush_load)
                rush = self.tally.copy()
                usual = plan.warm_seconds - plan.rush_seconds
                await self._load(world, server, gateway, usual, plan.rates)
                before = await self._idle(server, gateway)
                self._readings.clear()
                warmed_up = self.tally.copy()
                started = time.monotonic()
                self._note("from here on it counts")
                await self._load(world, server, gateway, plan.counted_seconds, plan.rates)
                busy, seconds = list(self._readings), time.monotonic() - started
                after = await self._idle(server, gateway)
            standing = gateway.standing
        courses = [
            Course(name, (before[place], after[place]), [one[place] for one in busy])
            for place, name in enumerate(("server", "gateway"))
        ]
        return Result.of(
            plan,
            self.tally,
            rush,
            warmed_up,
            courses,
            standing,
            await rows(dsn),
            self._faults,
            seconds,
        )

    # --- the processes ---

    @asynccontextmanager
    async def _processes(
        self, world: SoakWorld
    ) -> AsyncIterator[tuple["WatchedServer", GatewayProcess]]:
        listen = f"127.0.0.1:{fixed_port()}"
        server = WatchedServer(await asyncio.to_thread(world.server, listen), listen)
        try:
            secret = world.world.clients["gateway"]
            gateway = await GatewayProcess.start(server.address, "gateway", secret)
            try:
                yield server, gateway
                if not gateway.alive:
                    self._faults.append("gateway: the process ended")
            finally:
                await gateway.close()
            status = await asyncio.to_thread(server.process.terminate)
            self._faults += server.complaints()
            if status != 0:
                self._faults.append(f"server: exit status {status} after SIGTERM")
        finally:
            server.process.kill()

    async def _fill(self, world: SoakWorld, server: "WatchedServer", seconds: float) -> None:
        """Fill the server's cache of tokens, as a day would; the scope that is asked for keeps the
        sessions from being taken for active ones."""
        self._note(f"{len(world.fillers)} tokens are shown to the server")
        async with world.api(server.address, "gateway") as api:
            for start in range(0, len(world.fillers), BATCH):
                checks = [
                    pb.ValidateRequest(
                        token=token, audience=AUDIENCE, required_scopes=["none.has.it"]
                    )
                    for token in world.fillers[start : start + BATCH]
                ]
                call = api.tokens.BatchValidate(
                    pb.BatchValidateRequest(requests=checks), metadata=api.metadata, timeout=30
                )
                await self.tally.call("fill the cache", call)
                await asyncio.sleep(seconds * BATCH / len(world.fillers))
        world.fillers.clear()

    # --- load and pauses ---

    async def _load(
        self,
        world: SoakWorld,
        server: "WatchedServer",
        gateway: GatewayProcess,
        seconds: float,
        rates: Rates,
    ) -> None:
        self._note(f"{seconds:.0f} s of load, {rates.session:.0f} sessions a second")
        context = Context(world, server.address, self.tally, self._people, gateway.expect)
        try:
            load = Load(context)
            while len(self._people) < PEOPLE:
                self._people.append(await load.administration.new_person())
            await load.run(seconds, rates)
        finally:
            await context.close()

    async def _idle(
        self, server: "WatchedServer", gateway: GatewayProcess
    ) -> tuple[Reading, Reading]:
        """Both processes when nothing is going on: the least of several readings."""
        self._note("a pause")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                while gateway.behind or gateway.standing["busy"] or await server.is_busy():
                    await asyncio.sleep(0.5)
        taken = []
        for _ in range(IDLE_READINGS):
            await asyncio.sleep(0.5)
            taken.append((await server.reading(), gateway.reading()))
        return (
            min((one[0] for one in taken), key=_leftovers),
            min((one[1] for one in taken), key=_leftovers),
        )

    @asynccontextmanager
    async def _watched(
        self, server: "WatchedServer", gateway: GatewayProcess
    ) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch(server, gateway))
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _watch(self, server: "WatchedServer", gateway: GatewayProcess) -> None:
        told, before = 0.0, (await server.reading(), gateway.reading())
        while True:
            readings = await server.reading(), gateway.reading()
            self._readings.append(readings)
            if time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                self._tell(before, readings)
                before = readings
            await asyncio.sleep(READ_SECONDS)

    def _tell(self, before: tuple[Reading, ...], now: tuple[Reading, ...]) -> None:
        tally = self.tally
        self._note(
            f"{tally.begun['session']:>7} sessions, {tally.done('exchange'):>7} exchanges, "
            f"{tally.done('revoke'):>6} revoked, {sum(tally.unexpected.values())} unexpected | "
            + " | ".join(
                f"{name} {one.rss:.1f} MiB, {one.descriptors} descriptors, "
                f"{one.held['tasks']} tasks, {one.held['trust_entries']} entries, "
                f"{one.busy_since(former):.0%} CPU"
                for name, former, one in zip(("server", "gateway"), before, now, strict=True)
            )
        )
        for kind in tally.unexpected.keys() - self._told:
            self._told.add(kind)
            self._note(f"unexpected: {kind}")

    def _note(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._started:4.0f} s  {text}")


class WatchedServer:
    """The server's process, its metrics, and what it complained about."""

    def __init__(self, process: ServerProcess, metrics_address: str) -> None:
        self.process = process
        self.address = process.address
        self._metrics = metrics_address
        self._complaints: list[str] = []

    async def reading(self) -> Reading:
        """Take one; raises OSError once the process is gone."""
        held = await asyncio.to_thread(metrics, self._metrics)
        self._hear()
        return Reading.of(self.process.process.pid, held)

    async def is_busy(self) -> bool:
        """Whether calls are in flight, besides the stream of the gateway."""
        held = (await self.reading()).held
        return sum(held[kind] for kind in held if kind.startswith("calls_")) > 1

    def complaints(self) -> list[str]:
        """Lines of its log that tell of a fault."""
        self._hear()
        return self._complaints

    def _hear(self) -> None:
        """Look at what it has printed and forget it: a day of log lines is long."""
        output = self.process.output
        for _ in range(len(output)):
            line = output.pop(0)
            if GONE not in line and ('"level": "error"' in line or not line.startswith("{")):
                self._complaints.append(f"server: it logged {line.strip()[:300]}")
        del self._complaints[MOST_COMPLAINTS:]


def _leftovers(one: Reading) -> tuple[int, int]:
    return one.held["tasks"], one.descriptors
