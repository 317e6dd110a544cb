"""One run: calm, a fault, calm again; then the history is checked."""

import asyncio
import sys
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.histories.checker import Violation, check
from tests.histories.ground import Ground
from tests.histories.history import AuditRow, History
from tests.histories.nemesis import Nemesis
from tests.histories.recorder import PREFIX, Recorder
from tests.histories.site import LIMIT, Site
from tests.histories.workload.load import Load, Volume, ask_once_more, loaded

DEFAULT = Volume()
CALM = 2.0
"""Seconds of load before the fault, and after the recovery."""


@dataclass(slots=True)
class Result:
    """What a run showed. Times are in seconds."""

    name: str
    title: str
    seed: int
    effect: str = ""
    skipped: str = ""
    failed: str = ""
    """Why the run proves nothing, or why the service did not come back."""
    operations: int = 0
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    """How many operations of each kind there were at each place."""
    outcomes: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    tracebacks: int = 0
    without_service: float = 0.0
    """The longest time in which nobody's exchange was acknowledged."""
    recovery: float = 0.0
    """From the mending to the first exchanges acknowledged by both nodes."""
    slowest_revocation: float = 0.0
    history: str = ""

    @property
    def good(self) -> bool:
        """Whether it counts, with nothing broken."""
        return not (self.skipped or self.failed or self.violations or self.tracebacks)

    def as_json(self) -> dict[str, Any]:
        """For the file of results."""
        return asdict(self)


async def run(
    nemesis: Nemesis,
    ground: Ground,
    seed: int,
    *,
    kept: Path,
    volume: Volume = DEFAULT,
    times: float = 1.0,
    patient: bool = True,
) -> Result:
    """Break and mend one thing under load, and check the history, which goes to `kept`.

    `times` lengthens fault and calm. `patient` waits for the staleness limit at the end, and then
    presents once more what was revoked.
    """
    result = Result(nemesis.name, nemesis.title, seed, skipped=nemesis.unavailable())
    if result.skipped:
        return result
    recorder = Recorder(nemesis.name, seed, LIMIT)
    recorder.history.workers = int(nemesis.settings.get("workers", "1"))
    output: list[str] = []
    try:
        async with nemesis.stores(ground) as stores:
            site = Site(stores, recorder, ground.new_folder())
            try:
                await _under_load(nemesis, site, volume, result, times, patient=patient)
            finally:
                await site.close()
                output = site.output()
    except Exception as error:  # noqa: BLE001 - whatever it was: the run does not count
        result.failed = f"{type(error).__name__}: {error}"
        traceback.print_exc(file=sys.stderr)
    history = recorder.history
    conclude(result, history, check(history))
    result.tracebacks = sum("Traceback" in line for line in output)
    path = kept / f"{nemesis.name}-{seed}.jsonl.gz"
    history.save(path)
    result.history = str(path)
    if not result.good:
        path.with_suffix(".log").write_text("".join(output))
    return result


async def _under_load(
    nemesis: Nemesis,
    site: Site,
    volume: Volume,
    result: Result,
    times: float,
    *,
    patient: bool,
) -> None:
    site.stores.settings = {**site.stores.settings, **nemesis.settings}
    await site.start(
        fronts=nemesis.fronts,
        databases=nemesis.databases,
        modules=nemesis.modules,
        environments=nemesis.of_node,
    )
    async with loaded(site, result.seed, volume) as load:
        await _pass(load, CALM * times)
        await nemesis.start(site)
        try:
            result.effect = await nemesis.took_effect(site)
            await _pass(load, nemesis.seconds * times)
        finally:
            await nemesis.heal(site)
        healed = site.recorder.now()
        await nemesis.recovered(site)
        result.recovery = site.recorder.now() - healed
        await _pass(load, CALM * times)
        await load.stop()
        result.without_service = without_service(site.recorder.history)
        if patient:  # revocations of the last moment are past the limit then
            await asyncio.sleep(LIMIT)
        await ask_once_more(load.context)
        await read_database(site)


async def _pass(load: Load, seconds: float) -> None:
    """Let the load go on for a while."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        load.check()
        await asyncio.sleep(0.1)


async def read_database(site: Site) -> None:
    """Add what the database holds at the end to the history."""
    history = site.recorder.history
    rows = await site.sql(
        "SELECT request_id, action, outcome FROM audit_log WHERE request_id LIKE $1", f"{PREFIX}%"
    )
    history.audit = [
        AuditRow(int(row["request_id"].removeprefix(PREFIX)), row["action"], row["outcome"])
        for row in rows
    ]
    numbers = {
        UUID(text[1]): number
        for text, number in site.recorder.texts().items()
        if isinstance(text, tuple) and text[0] == "session"
    }
    stored = await site.sql("SELECT session_id, generation FROM sessions")
    history.generations = {
        numbers[row["session_id"]]: row["generation"]
        for row in stored
        if row["session_id"] in numbers
    }


def without_service(history: History) -> float:
    """The longest time between two acknowledged exchanges, at any node."""
    served = sorted(one.done for one in history.operations if one.kind == "exchange" and one.ok)
    return max((later - earlier for earlier, later in pairwise(served)), default=0.0)


def conclude(result: Result, history: History, violations: Iterable[Violation]) -> None:
    """Put what the history says into the result."""
    result.violations = [str(violation) for violation in violations]
    result.operations = len(history.operations)
    result.outcomes = history.outcomes()
    result.kinds = history.counts()
    revocations = (
        one.done - one.sent
        for one in history.operations
        if one.ok and "target" in one.about and not one.about.get("nothing")
    )
    result.slowest_revocation = max(revocations, default=0.0)
