"""`make histories`: every fault, under load, with its history checked."""

import argparse
import json
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.histories.faults import NEMESES
from tests.histories.ground import Ground
from tests.histories.run import Result, run
from tests.histories.workload.load import Volume

_ROOT = Path(__file__).parents[2]
KEPT = _ROOT / "build" / "histories"


def main() -> int:
    """Run what was asked for; 1 where anything was violated or proves nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="a fault, by its name")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--times", type=float, default=1.0, help="lengthens every fault")
    arguments = parser.parse_args()
    by_name = {nemesis.name: nemesis for nemesis in NEMESES}
    names = arguments.only or list(by_name)
    if unknown := set(names) - set(by_name):
        parser.error(f"no fault {', '.join(sorted(unknown))}; there are {', '.join(by_name)}")
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    results = uvloop.run(_all(names, seed, arguments.times))
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / "results.json").write_text(json.dumps([one.as_json() for one in results], indent=1))
    return int(any(not (result.good or result.skipped) for result in results))


async def _all(names: list[str], seed: int, times: float) -> list[Result]:
    by_name = {nemesis.name: nemesis for nemesis in NEMESES}
    folder = Path(tempfile.mkdtemp(prefix="token-service-histories-"))
    folder.chmod(0o711)
    ground = Ground(folder)
    results = []
    try:
        for name in names:
            result = await run(by_name[name](), ground, seed, Volume(), KEPT, times=times)
            _say(result)
            results.append(result)
    finally:
        await ground.close()
        shutil.rmtree(folder, ignore_errors=True)
    return results


def _say(result: Result) -> None:
    """One line, and one for each violation."""
    out = sys.stdout
    if result.skipped:
        out.write(f"{result.name}: skipped, {result.skipped}\n")
        return
    out.write(
        f"{result.name} (seed {result.seed}): {result.operations} operations, "
        f"{len(result.violations)} violations, {result.without_service:.1f} s without service, "
        f"slowest revocation {result.slowest_revocation * 1e3:.0f} ms, "
        f"{result.tracebacks} tracebacks; {result.effect}\n"
    )
    if result.failed:
        out.write(f"  FAILED {result.failed}\n")
    for violation in result.violations[:20]:
        out.write(f"  VIOLATION {violation}\n")
    if not result.good:
        out.write(f"  kept in {result.history}\n")
    out.flush()


if __name__ == "__main__":
    raise SystemExit(main())
