"""Streams of the trust feed. At the local reading 1000 the server's clock reads NOW."""

from typing import Any

from tests.vectors.feed_steps import EPOCH, LIMIT, about, begin, delta, look, message, snapshot
from tests.vectors.parts import NOW, P256, der, entry, key, stamp, standard

LATER_EPOCH = "9c1d2e3f-4a5b-4c6d-8e7f-0a1b2c3d4e5f"
NEVER = None


def make() -> dict[str, Any]:
    """The file."""
    cases = {**_snapshots(), **_deltas(), **_heartbeats(), **_faults(), **_times(), **_streams()}
    return {
        "about": "Messages of the trust feed, in the JSON of protobuf, and both clocks (trust.md).",
        "staleness_limit": LIMIT,
        "cases": [{"name": name, "steps": steps} for name, steps in cases.items()],
    }


FIRST = [begin(1000), message(1000, snapshot=snapshot(about(5)))]
"""A first stream, and its snapshot of revision 10."""


def _nothing(boot: float, now: float | None = None) -> dict[str, Any]:
    changes: dict[str, Any] = {"epoch": "", "revision": "0", "keys": [], "now": now}
    return look(boot, NEVER, **changes)


def _snapshots() -> dict[str, list[dict[str, Any]]]:
    part: dict[str, Any] = {"snapshot": snapshot(about(3), last=False)}
    second = key("es-1", alg="ES256", public_key=standard(der(P256.public_key())))
    return {
        "nothing is known at first": [_nothing(1000), begin(1000), _nothing(1000)],
        "a snapshot in one chunk": [*FIRST, look(1000, 0, entries=["5"])],
        "a snapshot in parts takes effect with the last": [
            begin(1000),
            message(1000, **part),
            _nothing(1000, NOW),
            message(1001, snapshot=snapshot(about(3), about(9), keys=[second])),
            look(1001, 1, keys=["ed-1", "es-1"], entries=["3", "3", "9"]),
        ],
        "a snapshot replaces everything": [
            *FIRST,
            message(1001, revision="12", snapshot=snapshot(about(11), keys=[second])),
            look(1001, 0.0005, revision="12", keys=["es-1"], entries=["11"]),
        ],
        "an older snapshot undoes nothing": [
            *FIRST,
            message(1001, revision="9", snapshot=snapshot()),
            look(1001, 1, entries=["5"]),
        ],
        "a snapshot of another log, at a lower revision": [
            *FIRST,
            message(1001, epoch=LATER_EPOCH, revision="3", snapshot=snapshot(about(2))),
            look(1001, 0.0005, epoch=LATER_EPOCH, revision="3", entries=["2"]),
            begin(1002, LATER_EPOCH, 3),
        ],
        "the first chunk of another log ends the trust in the former one": [
            *FIRST,
            message(1001, epoch=LATER_EPOCH, snapshot=snapshot(last=False)),
            look(1001, NEVER, epoch="", entries=["5"]),
        ],
        "another issuer": [
            *FIRST,
            message(1001, issuer="https://new.example", snapshot=snapshot()),
            look(1001, 0.0005),
        ],
        "no key": [begin(1000), message(1000, "broken", snapshot=snapshot(keys=[])), begin(1001)],
        "an entry above the snapshot": [
            begin(1000),
            message(1000, "broken", snapshot=snapshot(about(11))),
            _nothing(1000, NOW),
        ],
        "entries out of order": [
            begin(1000),
            message(1000, "broken", snapshot=snapshot(about(4), about(3))),
            _nothing(1000, NOW),
        ],
        "entries out of order over two chunks": [
            begin(1000),
            message(1000, snapshot=snapshot(about(4), last=False)),
            message(1000, "broken", snapshot=snapshot(about(3))),
        ],
        "chunks of two revisions": [
            *(begin(1000), message(1000, **part)),
            message(1000, "broken", revision="11", snapshot=snapshot()),
        ],
        "chunks of two logs": [
            *(begin(1000), message(1000, **part)),
            message(1000, "broken", epoch=LATER_EPOCH, snapshot=snapshot()),
        ],
        "chunks of two issuers": [
            *(begin(1000), message(1000, **part)),
            message(1000, "broken", issuer="https://new.example", snapshot=snapshot()),
        ],
        "a heartbeat between chunks": [
            *(begin(1000), message(1000, **part)),
            message(1000, "broken", heartbeat={}),
        ],
        "a chunk does not outlive its stream": [
            *(begin(1000), message(1000, **part)),
            begin(1001),
            message(1001, snapshot=snapshot(about(7))),
            look(1001, 0, entries=["7"]),
        ],
    }


def _deltas() -> dict[str, list[dict[str, Any]]]:
    def after(expect: str, revision: int, event: dict[str, Any], **head: Any) -> dict[str, Any]:
        return message(1001, expect, revision=str(revision), delta=event, **head)

    unchanged = look(1001, 1, entries=["5"])
    new = look(1001, 0.0005, revision="12", entries=["5", "11", "12"])
    both = after("applied", 12, delta(10, about(12), about(11)))
    far = 2**63 + 1
    return {
        "a delta adds its entries": [*FIRST, both, new],
        "a delta without entries": [
            *FIRST,
            after("applied", 10, delta(10)),
            look(1001, 0.0005, entries=["5"]),
        ],
        "a repeated delta is harmless": [*FIRST, both, both, new],
        "an overlapping delta adds what is new": [
            *FIRST,
            after("applied", 12, delta(3, about(5), about(9), about(11), about(12))),
            new,
        ],
        "a delta of before changes nothing": [
            *FIRST,
            after("applied", 9, delta(3, about(7), keys=[])),
            unchanged,
        ],
        "a gap": [*FIRST, after("broken", 12, delta(11, about(12))), unchanged, begin(1002)],
        "to before from": [*FIRST, after("broken", 8, delta(9)), unchanged],
        "an entry above the delta": [*FIRST, after("broken", 11, delta(10, about(12))), unchanged],
        "before any snapshot": [begin(1000), message(1000, "broken", delta=delta(10))],
        "revisions above 2^53": [
            begin(1000),
            message(1000, revision=str(far - 1), snapshot=snapshot()),
            message(1001, revision=str(far), delta=delta(far - 1, about(far))),
            look(1001, 0.0005, revision=str(far), entries=[str(far)]),
            message(1002, "broken", revision=str(far + 1), heartbeat={}),
        ],
        "keys change without a revocation": [
            *FIRST,
            after("applied", 10, delta(10, keys=[key(), key("ed-2")])),
            look(1001, 0.0005, keys=["ed-1", "ed-2"], entries=["5"]),
        ],
        "all keys are taken away": [
            *FIRST,
            after("applied", 10, delta(10, keys=[])),
            look(1001, 0.0005, keys=[], entries=["5"]),
        ],
        "keys of an earlier reading count": [
            *FIRST,
            after("applied", 10, delta(10, keys=[key("ed-2")]), readTime=stamp(NOW - 1)),
            look(1001, 1, keys=["ed-2"], entries=["5"]),
        ],
        "a key in a state that is not known": [
            *FIRST,
            after("applied", 10, delta(10, keys=[key(state=99)])),
            look(1001, 0.0005, entries=["5"]),
        ],
    }


def _heartbeats() -> dict[str, list[dict[str, Any]]]:
    return {
        "a heartbeat makes the view fresh": [
            *FIRST,
            message(1004, heartbeat={}),
            look(1004, 0.002, entries=["5"]),
        ],
        "a heartbeat from an older reading proves nothing": [
            *FIRST,
            message(1004, revision="9", heartbeat={}),
            look(1004, 4, entries=["5"]),
        ],
        "a heartbeat ahead of the view": [
            *FIRST,
            message(1004, "broken", revision="11", heartbeat={}),
            look(1004, 4, entries=["5"]),
            begin(1005),
        ],
        "a heartbeat of another log": [
            *FIRST,
            message(1001, "broken", epoch=LATER_EPOCH, heartbeat={}),
            look(1001, NEVER, epoch="", entries=["5"]),
            begin(1002),
        ],
        "a heartbeat of another issuer": [
            *FIRST,
            message(1001, "broken", issuer="https://new.example", heartbeat={}),
            look(1001, 1, entries=["5"]),
            begin(1002),
        ],
    }


def _faults() -> dict[str, list[dict[str, Any]]]:
    def refused(one: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            *FIRST,
            message(1001, "broken", revision="11", delta=delta(10, one)),
            look(1001, NEVER, epoch="", entries=["5"]),
            begin(1002),
            message(1002, revision="11", snapshot=snapshot()),
            look(1002, 0, revision="11"),
        ]

    everything = entry(11, "EVERYTHING", "all")
    return {
        "an entry of an unknown kind is not skipped": refused(about(11, kind=99)),
        "an entry of no kind is not skipped": refused(about(11, kind="UNSPECIFIED")),
        "an entry with an unknown effect is not skipped": refused(about(11, effect=99)),
        "an entry without its id is not skipped": refused(about(11, id="")),
        "an entry for everything that names something": refused(everything),
        "a device where none is due": refused(about(11, device_id="d")),
        "an unknown kind among what is known already": refused(about(4, kind=99)),
        "no kind among what is known already": refused(about(4, kind="UNSPECIFIED")),
        "no effect among what is known already": refused(about(4, effect="UNSPECIFIED")),
        "a message without an event": [
            *FIRST,
            message(1001, "broken"),
            look(1001, NEVER, epoch="", entries=["5"]),
        ],
        "a snapshot without an epoch": [
            begin(1000),
            message(1000, "broken", epoch=None, snapshot=snapshot()),
            _nothing(1000, NOW),
        ],
        "a first chunk without an epoch": [
            begin(1000),
            message(1000, "broken", epoch=None, snapshot=snapshot(last=False)),
        ],
    }


def _times() -> dict[str, list[dict[str, Any]]]:
    late: dict[str, Any] = {
        "readTime": stamp(NOW + 2),
        "serverTime": stamp(NOW + 2),
        "heartbeat": {},
    }
    return {
        "fresh until the limit, inclusive": [
            *FIRST,
            look(1005, 5, entries=["5"]),
            look(1005.25, 5.25, entries=["5"]),
        ],
        "a heartbeat that lay in a buffer is old": [
            *FIRST,
            message(1010, **late),
            look(1010, 8.005, entries=["5"]),
        ],
        "the time of reading never goes back": [
            *FIRST,
            message(1004, heartbeat={}),
            message(1004, readTime=stamp(NOW + 1), heartbeat={}),
            look(1004, 0.002, entries=["5"]),
        ],
        "a reading from the future was never made": [
            *FIRST,
            message(1001, readTime=stamp(NOW + 3600), heartbeat={}),
            look(1001, 0, entries=["5"]),
            look(1007, 6, entries=["5"]),
        ],
        "the first answer took long": [
            begin(996),
            message(1000, readTime=stamp(NOW), serverTime=stamp(NOW), snapshot=snapshot()),
            look(1000, 4, now=NOW + 2),
        ],
        "the log was read some time before": [
            begin(1000),
            message(1000, readTime=stamp(NOW - 3), snapshot=snapshot()),
            look(1000, 3),
        ],
        "a server's clock that is ahead by surprise makes the view older": [
            *FIRST,
            message(1000, serverTime=stamp(NOW + 4), readTime=stamp(NOW + 4), heartbeat={}),
            look(1000, 0, now=NOW + 2, entries=["5"]),
            message(1001, serverTime=stamp(NOW + 4), readTime=stamp(NOW + 2), heartbeat={}),
            look(1001, 1, now=NOW + 3, entries=["5"]),
        ],
    }


def _streams() -> dict[str, list[dict[str, Any]]]:
    ahead = {"readTime": stamp(NOW + 62), "serverTime": stamp(NOW + 62)}
    return {
        "the next stream goes on from the view": [
            *FIRST,
            begin(1002, EPOCH, 10),
            message(1002, delta=delta(10)),
            look(1002, 0, entries=["5"]),
        ],
        "the next stream has a clock of its own": [
            *FIRST,
            begin(1002, EPOCH, 10),
            message(1002, **ahead, heartbeat={}),
            look(1002, 0, now=NOW + 62, entries=["5"]),
        ],
        "a stream goes on after a gap from the start": [
            *FIRST,
            message(1001, "broken", revision="12", heartbeat={}),
            begin(1002),
            message(1002, revision="12", snapshot=snapshot(about(11))),
            look(1002, 0, revision="12", entries=["11"]),
            begin(1003, EPOCH, 12),
        ],
    }
