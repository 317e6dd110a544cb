"""Local validators: what one costs, and how soon a hundred of them refuse what was revoked."""

import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from tests.bench import filling
from tests.bench.fan_out import FanOut, Place
from tests.bench.feed_processes import Worker, run_all
from tests.bench.feed_world import EACH, FeedSize, FeedWorld
from tests.bench.processes import median
from tests.support.servers import ServerProcess
from token_service.app.parts import Parts
from tokenservice.core import Facts, parse_jwt

SESSION = "10000000-0000-4000-8000-{:012x}"


@dataclass(frozen=True, slots=True)
class LocalSize:
    """How much is measured; counts are for each round."""

    rounds: int
    warm: int
    cold: int
    asked: int
    cached: int
    forged: int


FULL = LocalSize(rounds=3, warm=50_000, cold=1_000, asked=1_000, cached=100_000, forged=1_000_000)
QUICK = LocalSize(rounds=2, warm=10_000, cold=500, asked=400, cached=2_000, forged=10_000)


class ValidatorFanOut(FanOut):
    """The watchers of the server that revokes are validators, and have to refuse in the end."""

    worker_module = "tests.bench.validating"

    def __init__(
        self, world: FeedWorld, own: ServerProcess, other: ServerProcess, stack: ExitStack
    ) -> None:
        super().__init__(world, own, other, stack)
        self._tokens = world.requests.with_suffix(".access")
        self.wrong = 0

    def _open(self, name: str, place: Place) -> None:
        if name != "own":
            super()._open(name, place)
            return
        run_all(
            self._workers,
            "follow",
            group=name,
            count=EACH,
            address=place.watched,
            client_id="demo-gateway",
            secret=self._world.world.clients["demo-gateway"],
        )

    def _measure(self, label: str, group: str, *, rate: int, count: int) -> None:
        if group != "own":
            super()._measure(label, group, rate=rate, count=count)
            return
        first = self._first
        self._expect("ACTIVE LOCAL", first, count)
        super()._measure(label, group, rate=rate, count=count)
        self._expect("REVOKED LOCAL", first, count)

    def _expect(self, verdict: str, first: int, count: int) -> None:
        for answer in run_all(
            self._workers,
            "verdicts",
            group="own",
            tokens=str(self._tokens),
            first=first,
            count=min(count, 50),
        ):
            self.wrong += sum(n for name, n in answer["counts"].items() if name != verdict)

    def _results(self) -> dict[str, Any]:
        return {**super()._results(), "revoke_wrong_verdicts": self.wrong}


async def write_tokens(world: FeedWorld, size: FeedSize, local: LocalSize) -> None:
    """An access token for each session that is going to be revoked, and live ones."""
    parts = await Parts.open(world.world.settings(allow_unsafe_durability=False))
    try:
        access = await filling.access_tokens(world.world, parts)
        facts = parse_jwt(access["jwt"], parts.settings.issuer).facts
        revoked = (
            parts.tokens.sign_jwt(_of_session(facts, number), "")
            for number in range(1, size.sessions + 1)
        )
        world.requests.with_suffix(".access").write_text("\n".join(revoked))
        live = filling.fresh_jwts(parts, facts, local.rounds * local.cold)
        world.requests.with_suffix(".live").write_text("\n".join(live))
        many = filling.fresh_jwts(parts, facts, local.cached)
        world.requests.with_suffix(".many").write_text("\n".join(many))
    finally:
        await parts.close()


def local(world: FeedWorld, server: ServerProcess, size: LocalSize) -> dict[str, Any]:
    """One validator in a process of its own, and a server to ask."""
    live, many = (world.requests.with_suffix(f".{name}") for name in ("live", "many"))
    figures: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        worker = Worker("tests.bench.local")
        stack.callback(worker.close)
        worker.run(
            "open",
            address=server.address,
            client_id="demo-gateway",
            secret=world.world.clients["demo-gateway"],
        )
        known = many.read_text().partition("\n")[0]
        for number in range(size.rounds):
            first = number * size.cold
            warm = worker.run("warm", token=known, count=size.warm)["us"]
            cold = worker.run("cold", tokens=str(live), first=first, count=size.cold)
            remote = worker.run("remote", token=known, count=size.asked, pid=server.process.pid)
            figures["local_warm_us"].append(warm)
            figures["remote_vs_local_cpu"].append(remote["us"] / warm)
            figures["local_cold_us"].append(cold["us"])
            figures["local_cold_vs_raw_verify"].append(cold["ratio"])
        cached = worker.run("memory", tokens=str(many))
        sys.stderr.write("       forged tokens\n")
        flood = worker.run("flood", tokens=str(many), count=size.forged)
    return {
        **{name: median(values) for name, values in figures.items()},
        "cached_tokens": cached["count"],
        "cached_tokens_mb": cached["mb"],
        "forged_tokens": size.forged,
        "flood_growth_mb": flood["mb"],
        "flood_hit_rate": flood["hit_rate"],
        "flood_good_p99_us": flood["p99_us"],
        "flood_alone_p99_us": flood["alone_p99_us"],
    }


def _of_session(facts: Facts, number: int) -> Facts:
    session_id = SESSION.format(number)
    return replace(facts, session_id=session_id, token_id=str(UUID(int=number)))
