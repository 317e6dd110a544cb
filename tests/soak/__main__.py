"""`make soak`: a day's worth of churn in ten minutes, and whether anything is left of it.

A day, here, is that of a service with: 110,000 sessions opened with app keys and 1,300 with
passwords; 210,000 exchanges; 28,000 revocations on the feed (by token, by session id, by detected
reuse, of users and of clients); 80,000 sessions that run out by themselves; 60,000 verdicts by the
server, and a million by a local validator, on 330,000 tokens; 6,000 verification codes; 3,600
pairings, most of them abandoned; 4,800 watchers that come and go, and 120 that do not read; 600
wrong passwords; 12,000 calls that have to be refused, 6,000 that are cancelled and 6,000 that come
too late; 3,600 connections that are opened for a call or for nothing, and every client's own
replaced each twenty seconds; 120 users made and deleted, 60 policies changed, 30 clients disabled,
13 keys rotated. Lifetimes are minutes, by the clients' policies, so that all of it is over, and
swept, within the run.

What is not like a day: a session that lasts is exchanged a hundred times in one, and here twice;
nobody waits for a disk; and server and validator count as having run for a quarter of an hour when
they start (see `tests.soak.server`), since before that nothing is forgotten.

The server is a process of its own on PostgreSQL and Valkey; so is a gateway that follows the feed
with the client package's Validator. Both are watched from outside, under load and in a pause before
and after it. `--seconds 60` does a tenth of a day; memory is judged only where there was time to
fill all tables before (see `Plan`). Results go to build/soak.json. The exit status is 1 when a
limit is broken (see `tests.soak.limits`), when a call ended as it should not have, or when less
than four fifths of the work got done: a slow or busy machine needs `--load 0.5`.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvloop

from tests.bench.processes import ROOT
from tests.soak.day import FULL_SECONDS, KINDS, Plan
from tests.soak.report import Result, table
from tests.soak.run import Soak
from token_service.adapters.embedded import EmbeddedPostgres, EmbeddedValkey
from token_service.adapters.postgres.migrate import migrate


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=FULL_SECONDS, help="how long (600)")
    parser.add_argument("--load", type=float, default=1.0, help="times the usual load (1)")
    parser.add_argument("--only", nargs="+", choices=KINDS, metavar="KIND", help=" ".join(KINDS))
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and end the processes, too
    plan = Plan.of(asked.seconds, asked.load)
    if asked.only:
        plan = replace(plan, rates=plan.rates.only(*asked.only))
    with stores() as (dsn, redis_url):
        result = soak(dsn, redis_url, plan)
    path = ROOT / "build" / "soak.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result.to_json(), indent=2) + "\n")
    sys.stdout.write(f"{table(result)}\nwritten to {path}\n")
    return 1 if result.broken else 0


def soak(dsn: str, redis_url: str, plan: Plan) -> Result:
    """Run a plan on a migrated database."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Soak(plan, say).run(dsn, redis_url))


def say(line: str) -> None:
    """Tell how it goes."""
    sys.stderr.write(line + "\n")


@contextmanager
def stores() -> Iterator[tuple[str, str]]:
    """Real ones that do not wait for the disk: nothing here depends on how fast that is."""
    with tempfile.TemporaryDirectory(prefix="token-soak-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with (
            EmbeddedPostgres(folder / "postgres", fsync=False) as postgres,
            EmbeddedValkey(folder / "valkey") as valkey,
        ):
            migrate(postgres.dsn)
            yield postgres.dsn, valkey.url


if __name__ == "__main__":
    sys.exit(main())
