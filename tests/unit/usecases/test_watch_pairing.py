"""How long a watcher of a pairing hears nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, cast
from uuid import UUID

from tests.unit.domain.test_pairing import NOW, pairing
from token_service.domain.kinds import PairingState
from token_service.domain.pairing.decision import Pairing, Side
from token_service.usecases.pairing.access import Proof
from token_service.usecases.pairing.watch import REPEAT_AFTER, WatchPairing

PROOF = Proof(Side.STARTER, "secret")
MINUTE = timedelta(minutes=1)


class World:
    """One pairing, and time that passes while somebody waits."""

    version = 0

    def __init__(self, state: PairingState) -> None:
        self.moment = NOW
        self.pairing: Pairing = replace(pairing(state), started_at=NOW, ends_at=NOW + 10 * MINUTE)
        self.waits: list[float] = []

    def now(self) -> datetime:
        return self.moment

    async def find(self, *_: Any) -> Pairing:
        return self.pairing

    def check_number(self, _: Pairing) -> str:
        return "07"

    def code(self, *_: Any) -> str:
        return "A" * 20

    @contextmanager
    def watch(self, _: UUID) -> Iterator["World"]:
        yield self

    async def wait(self, within: float) -> None:
        self.waits.append(within)
        self.moment += timedelta(seconds=within)


async def test_a_state_is_told_again_before_a_proxy_takes_the_stream_for_dead() -> None:
    world = cast("Any", World(PairingState.SCANNED))
    watch = WatchPairing(world, world, world, world, world)
    standings = watch(cast("Any", None), UUID(int=1), PROOF)
    told = [(world.moment, standing.state) async for standing in standings]
    silences = [later - earlier for (earlier, _), (later, _) in pairwise(told)]
    assert max(silences) <= REPEAT_AFTER + timedelta(seconds=1)
    assert min(silences[:-1]) >= REPEAT_AFTER  # and not all the time
    assert len(told) == 10 * MINUTE // REPEAT_AFTER + 1
    assert told[-1][1] is PairingState.EXPIRED
