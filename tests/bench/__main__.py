"""`make bench`: what the service costs, as ratios against floors measured in the same run.

Rounds are interleaved and medians taken, because the machines are shared: only the ratios mean
anything. Results go to build/bench.json and, as pictures, to build/bench.svg. All parts but `sizes`
take about 16 minutes; `sizes`, which goes to ten million sessions and needs 18 GB of disk, takes
another six and is measured where it is named. The results of parts that are named replace those in
build/bench.json, and leave the others.
"""

import argparse
import json
import shutil
import sys
from typing import Any

from tests.bench import (
    batch,
    core,
    curve,
    exchanges,
    expiry,
    feed,
    plot,
    sizes,
    storm,
    synchronous,
    trust_size,
    workers,
)
from tests.bench.processes import ROOT
from tests.bench.report import report
from tests.bench.stores import Part, note, stores

PARTS: dict[str, Part] = {
    "core": core.measure,
    "exchanges": exchanges.measure,
    "synchronous": synchronous.measure,
    "batch": batch.measure,
    "expiry": expiry.measure,
    "curve": curve.measure,
    "feed": feed.measure,
    "trust_size": trust_size.measure,
    "storm": storm.measure,
    "workers": workers.measure,
    "sizes": sizes.measure,
}
"""More is plugged in by a line here."""
NOT_UNLESS_NAMED = {"sizes"}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller and shorter")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    results: dict[str, Any] = {}
    if arguments.parts and path.exists():
        results = json.loads(path.read_text())
    chosen = arguments.parts or [name for name in PARTS if name not in NOT_UNLESS_NAMED]
    measured: dict[str, Any] = {}
    with stores() as (postgres, redis_url, folder):
        for name in chosen:
            note(f"part {name}")
            measured |= PARTS[name](postgres, redis_url, folder, quick=arguments.quick)
    results |= measured
    path.write_text(json.dumps(results, indent=2) + "\n")
    sys.stdout.write(report(measured) + f"\nwritten to {path}\n")
    picture = path.with_suffix(".svg")
    if plot.draw(results, picture):
        sys.stdout.write(f"drawn in {picture}\n")


if __name__ == "__main__":
    if shutil.which("nproc") is None:
        sys.exit("this benchmark needs Linux")
    main()
