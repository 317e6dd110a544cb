"""`make histories`: two nodes under load, each fault in turn, and every history checked.

Histories go to build/histories, and with them the nodes' logs where something was wrong. A fault
that cannot be had on this machine is skipped, says why, and is not counted.
"""

import argparse
import json
import logging
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from tests.histories import recorded
from tests.histories.checker import check
from tests.histories.faults import NEMESES, SHORT
from tests.histories.ground import Ground
from tests.histories.history import History
from tests.histories.run import Result, run

GOAL = 1_000_000
"""Operations that `--long` records, summed over its runs."""
LONGER = 2.0
"""How much longer each fault of `--long` lasts."""
_ROOT = Path(__file__).parents[2]
KEPT = _ROOT / "build" / "histories"


def main() -> int:
    """Run what was asked for; 1 where anything was violated, or where a run proves nothing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="a fault, by its name")
    parser.add_argument("--short", action="store_true", help="some of the faults, for every change")
    parser.add_argument("--long", action="store_true", help=f"until there are {GOAL:,} operations")
    parser.add_argument("--record", action="store_true", help="write docs/faults.md anew")
    parser.add_argument("--add", action="store_true", help="record beside the runs of before")
    parser.add_argument("--seed", type=int, default=None, help="of the first run")
    parser.add_argument("--check", type=Path, metavar="FILE", help="check a kept history again")
    arguments = parser.parse_args()
    if arguments.check:
        violations = check(History.load(arguments.check))
        sys.stdout.writelines(f"{violation}\n" for violation in violations)
        return int(bool(violations))
    by_name = {nemesis.name: nemesis for nemesis in NEMESES}
    names = arguments.only or (list(SHORT) if arguments.short else list(by_name))
    if unknown := set(names) - set(by_name):
        parser.error(f"no fault {', '.join(sorted(unknown))}; there are {', '.join(by_name)}")
    logging.getLogger("tokenservice").addHandler(logging.NullHandler())  # outages are wanted here
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    held = recorded.read()
    before = recorded.operations(held) if arguments.add else 0

    def keep(results: list[Result]) -> None:
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / "results.json").write_text(json.dumps([one.as_json() for one in results], indent=1))
        if arguments.record or arguments.add:
            recorded.record(results, held, adds=arguments.add)

    goal = GOAL - before if arguments.long else 0
    return _conclude(uvloop.run(_all(names, seed, goal, keep)))


async def _all(
    names: list[str], seed: int, goal: int, keep: Callable[[list[Result]], None]
) -> list[Result]:
    """Each fault once, or longer ones again and again until so many operations are the `goal`;
    `keep` is called with what there is after each run."""
    by_name = {nemesis.name: nemesis for nemesis in NEMESES}
    results: list[Result] = []
    while True:
        async with _ground() as ground:
            for name in names:
                times = LONGER if goal > 0 else 1.0
                result = await run(by_name[name](), ground, seed, kept=KEPT, times=times)
                _say(result)
                results.append(result)
                keep(results)
                seed += 1
        if sum(result.operations for result in results) >= goal:
            return results


@asynccontextmanager
async def _ground() -> AsyncIterator[Ground]:
    folder = Path(tempfile.mkdtemp(prefix="token-service-histories-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user where root starts it
    ground = Ground(folder)
    try:
        yield ground
    finally:
        await ground.close()
        shutil.rmtree(folder, ignore_errors=True)


def _say(result: Result) -> None:
    """One line, and one for each violation."""
    out = sys.stdout
    if result.skipped:
        out.write(f"{result.name}: skipped, {result.skipped}\n")
        return
    out.write(
        f"{result.name} (seed {result.seed}): {result.operations:,} operations, "
        f"{len(result.violations)} violations, {result.tracebacks} tracebacks, "
        f"{result.without_service:.1f} s without service, "
        f"slowest revocation {result.slowest_revocation * 1e3:.0f} ms; {result.effect}\n"
    )
    if result.failed:
        out.write(f"  PROVES NOTHING: {result.failed}\n")
    out.writelines(f"  VIOLATION {violation}\n" for violation in result.violations[:20])
    if not result.good:
        out.write(f"  kept in {result.history}\n")
    out.flush()


def _conclude(results: list[Result]) -> int:
    counted = [result for result in results if not result.skipped]
    total = sum(result.operations for result in counted)
    bad = [result.name for result in counted if not result.good]
    sys.stdout.write(
        f"{len(counted)} runs, {len(results) - len(counted)} skipped, {total:,} operations, "
        f"{sum(len(result.violations) for result in counted)} violations; "
        f"wrong: {', '.join(bad) or 'nothing'}\n"
    )
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())
