"""`make bench`: what the service costs, as ratios against floors measured in the same run.

Rounds are interleaved and medians taken, because the machines are shared: only the ratios mean
anything. Results go to build/bench.json.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import core, feed, workers
from tests.bench.processes import ROOT
from tests.bench.report import report
from tests.bench.stores import stores
from token_service.adapters.embedded import EmbeddedPostgres

Part = Callable[[EmbeddedPostgres, str, Path, bool], dict[str, Any]]

PARTS: dict[str, Part] = {
    "core": lambda postgres, url, folder, quick: core.measure(postgres, url, folder, quick=quick),
    "feed": lambda postgres, url, folder, quick: feed.measure(postgres, url, folder, quick=quick),
    "workers": lambda postgres, url, _folder, quick: workers.measure(postgres, url, quick=quick),
}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and shorter")
    quick = parser.parse_args().quick
    results: dict[str, Any] = {}
    with stores() as (postgres, redis_url, folder):
        for part in PARTS.values():
            results |= part(postgres, redis_url, folder, quick)
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    sys.stdout.write(report(results) + f"\nwritten to {path}\n")


if __name__ == "__main__":
    if shutil.which("nproc") is None:
        sys.exit("this benchmark needs Linux")
    main()
