"""What was asked of the service and what became of it: a recorded history and its file.

All times are seconds on one monotonic clock, that of the recording process, which also runs while
the machine is suspended. Secrets have no place here: tokens, exchange ids and passwords appear as
numbers, the same number for the same text.
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Any


class Outcome(StrEnum):
    """What the caller of an operation knows afterwards."""

    OK = "ok"
    REFUSED = "refused"
    """A definite answer: nothing was done but what the reason says (TOKEN_REUSED revokes)."""
    UNKNOWN = "unknown"
    """It may have been done at any time after it was sent, also after `done`, or never."""


@dataclass(slots=True)
class Operation:
    """One call, or one decision of a local validator.

    `number` is in the call's request id, so the audit log can be compared. `place` is `node-0`,
    `validator-0` and so on. `reason` is the reason of a refusal, the status of an unknown outcome,
    or the verdict of a Validate. What `about` holds depends on the kind:

    - issue: `client`, `user`, `password` (both absent for a client's own session), `device`
    - exchange: `client`, `token`, `once` (the exchange id; a number of its own where it was empty)
    - collect: `pairing`, `once`, `parent` (the approver's session)
    - these three, when OK: `session`, `next` (its session token), `access` (a list of [number,
      scopes, key id]), `replayed`
    - validate: `access`, or `forged`; `scopes`, `min_revision`
    - whatever revokes: `target` (see `checker.sessions`), `keep` (a session that it spares);
      when OK: `revision`
    - whatever sets something: `writes`, a list of [a register's name, its value]
    - issue_code: `code`, `max_uses`; redeem_code: `code`, `request`, when OK `replayed`;
      revoke_code: `code`
    - start_pairing, scan_pairing, approve_pairing, deny_pairing, cancel_pairing: `pairing`
    """

    number: int
    kind: str
    place: str
    sent: float
    done: float
    outcome: Outcome
    reason: str = ""
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it was acknowledged."""
        return self.outcome is Outcome.OK

    @property
    def latest(self) -> float:
        """When it had been done at the latest; infinite where the outcome is unknown."""
        return inf if self.outcome is Outcome.UNKNOWN else self.done


@dataclass(frozen=True, slots=True)
class Loss:
    """Acknowledged writes may have been lost: a failover without synchronous replication, or a
    restored backup.

    From `began` on sessions may be gone, and what was acknowledged before may be forgotten until
    `fenced`: then what was revoked is revoked for good, and with `everyone` all sessions that were
    there when it began are over.
    """

    began: float
    fenced: float = inf
    everyone: bool = True


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of the audit log that carries the request id of operation `number`."""

    number: int
    action: str
    outcome: str


@dataclass(slots=True)
class History:
    """One run. `limit` is the staleness limit in seconds; `audit` is None where nobody read it."""

    name: str
    seed: int
    limit: float
    operations: list[Operation] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    audit: list[AuditRow] | None = None
    generations: dict[int, int] | None = None
    """Generation of each session's row at the end; absent for rows that are gone."""
    divided: float = inf
    """When another primary began beside the one that some nodes still read: for `limit` seconds
    those do not find what is made since, and do not know that they should."""
    workers: int = 1
    """Processes of each node. Only where there is one does the node that revoked know at once, and
    without being asked for a `min_revision`, whoever is asked there."""

    def counts(self) -> dict[str, dict[str, int]]:
        """How many operations there are of each kind at each place."""
        found: dict[str, Counter[str]] = {}
        for operation in self.operations:
            found.setdefault(operation.kind, Counter())[operation.place] += 1
        return {kind: dict(sorted(places.items())) for kind, places in sorted(found.items())}

    def outcomes(self) -> dict[str, int]:
        """How many had each outcome."""
        return dict(Counter(operation.outcome.value for operation in self.operations))

    def save(self, path: Path) -> None:
        """Write a file of JSON lines, compressed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "wt", compresslevel=3, encoding="utf-8") as out:
            out.writelines(json.dumps(line) + "\n" for line in self._lines())

    def _lines(self) -> Iterable[Any]:
        yield {
            "name": self.name,
            "seed": self.seed,
            "limit": self.limit,
            "losses": [[*astuple(loss)] for loss in self.losses],
            "divided": None if self.divided == inf else self.divided,
            "workers": self.workers,
            "audit": None if self.audit is None else [[*astuple(row)] for row in self.audit],
            "generations": None if self.generations is None else [*self.generations.items()],
        }
        for one in self.operations:
            sent, done = round(one.sent, 6), round(one.done, 6)
            yield [one.number, one.kind, one.place, sent, done, one.outcome, one.reason, one.about]

    @classmethod
    def load(cls, path: Path) -> "History":
        """Read such a file."""
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            head = json.loads(next(lines))
            rows = [json.loads(line) for line in lines]
        return cls(
            head["name"],
            head["seed"],
            head["limit"],
            [_operation(*row) for row in rows],
            [Loss(*loss) for loss in head["losses"]],
            None if head["audit"] is None else [AuditRow(*row) for row in head["audit"]],
            None if head["generations"] is None else dict(head["generations"]),
            head.get("divided") or inf,
            head.get("workers", 1),
        )


def _operation(
    number: int,
    kind: str,
    place: str,
    sent: float,
    done: float,
    outcome: str,
    reason: str,
    about: dict[str, Any],
) -> Operation:
    return Operation(number, kind, place, sent, done, Outcome(outcome), reason, about)
