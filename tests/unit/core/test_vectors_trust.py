"""The vectors of docs/spec/trust.md and verdict.md. What they expect is written in the files."""

from collections.abc import Iterable, Iterator
from math import nan
from typing import Any

from google.protobuf.json_format import ParseDict

from tests.unit.core.vector_files import (
    FILES,
    cases,
    entry_of,
    facts_of,
    near,
    requirement_of,
    state_of,
    time_of,
)
from tokenservice._decisions.local_validator import LocalValidator
from tokenservice._validator.feed import FeedBroken, FeedReader
from tokenservice.core import AnchoredClock, TrustState, challenge, verdict
from tokenservice.v1 import trust_service_pb2 as pb


@cases("trust.json")
def test_trust(case: dict[str, Any]) -> None:
    state = state_of(case["entries"], case.get("keys", ()))
    if "drop_before" in case:
        state.prune(case["drop_before"])
    defaults = FILES["trust.json"]["defaults"]["facts"]
    for question in case["questions"]:
        if "kid" in question:
            found = _key_state(state, question["kid"])
        else:
            effect = state.status(facts_of({**defaults, **question["facts"]}))
            found = effect.name if effect is not None else ""
        assert found == question["expect"], question


def _key_state(state: TrustState, kid: str) -> str:
    if kid in state.view.verifiable:
        return "verifiable"
    return "revoked" if state.view.key_revoked(kid) else "unknown"


@cases("trust.json", "refused_entries")
def test_refused_entries(case: dict[str, Any]) -> None:
    try:
        entry_of(case["entry"]).check()
    except (ValueError, KeyError):
        assert case["expect"] == "refused"
    else:
        assert case["expect"] == "taken"


class LocalClock:
    """A clock that stands where the case puts it."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


@cases("clock.json")
def test_clocks(case: dict[str, Any]) -> None:
    boot = LocalClock()
    clock = AnchoredClock(boot)
    for step in case["steps"]:
        found: Any = None
        if step["do"] == "sample":
            found = clock.anchor(step["server_time"], step["sent_at"], step["received_at"])
        elif step["do"] == "witness":
            clock.witness(step["server_time"], step["received_at"])
        else:
            boot.at = step["boot"]
            times = {"now": clock.now(), "uncertainty": clock.uncertainty()}
            found = {**{n: time_of(t) for n, t in times.items()}, "settled": clock.settled}
        assert found == near(step["expect"]), step


@cases("feed.json")
def test_feeds(case: dict[str, Any]) -> None:
    validator = Follower(FILES["feed.json"]["staleness_limit"])
    for step, found in validator.follow(case["steps"]):
        assert found == near(step["expect"]), step


class Follower:
    """A validator that follows the streams of a case."""

    def __init__(self, limit: float) -> None:
        self.boot = LocalClock()
        clock = AnchoredClock(self.boot)
        self.local = LocalValidator(clock=clock, staleness_limit=limit)
        local = self.local
        self.reader = FeedReader(local.trust, clock, local.keys_changed, local.forget)

    def follow(self, steps: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Any]]:
        for step in steps:
            self.boot.at = step["boot"]
            yield step, self._step(step)

    def _step(self, step: dict[str, Any]) -> Any:
        if step["do"] == "begin":
            request = self.reader.begin()
            return {"epoch": request.epoch, "from_revision": str(request.from_revision)}
        if step["do"] == "message":
            try:
                self.reader.apply(ParseDict(step["message"], pb.WatchTrustResponse()))
            except FeedBroken:
                return "broken"
            return "applied"
        trust, local = self.local.trust, self.local
        return {
            "epoch": trust.epoch,
            "revision": str(trust.revision),
            "fresh": local.fresh,
            "age": time_of(local.view_age),
            "now": time_of(local.clock.now()),
            "keys": sorted(trust.keys),
            "entries": [str(one.revision) for one in trust.live_entries()],
        }


@cases("verdict.json")
def test_verdicts(case: dict[str, Any]) -> None:
    defaults = FILES["verdict.json"]["defaults"]
    given = {**defaults, **case}
    facts = facts_of({**defaults["facts"], **case.get("facts", {})})
    demanded = requirement_of({**defaults["requirement"], **case.get("requirement", {})})
    now = nan if given["now"] is None else given["now"]
    decided = verdict(facts, state_of(given["entries"], given["keys"]), demanded, now)
    status, header = challenge(decided, demanded)
    assert case["expect"] == {
        "verdict": decided.name,
        "http_status": status,
        "www_authenticate": header,
    }


@cases("verdict.json", "refused_requirements")
def test_requirements(case: dict[str, Any]) -> None:
    try:
        requirement_of({**FILES["verdict.json"]["defaults"]["requirement"], **case["requirement"]})
    except ValueError:
        assert case["expect"] == "refused"
    else:
        assert case["expect"] == "taken"


@cases("validate.json")
def test_the_whole_way(case: dict[str, Any]) -> None:
    file = FILES["validate.json"]
    given = {**file["defaults"], **case}
    validator = Follower(file["staleness_limit"])
    for _ in validator.follow(given["feed"]):
        pass
    validator.boot.at = given["boot"]
    demanded = requirement_of({**file["defaults"]["requirement"], **case.get("requirement", {})})
    for _ in range(2):  # what is remembered of the first time changes nothing
        found = validator.local.judge(given["token"], demanded, int(given["min_revision"]))
        if found is None:
            assert case["expect"] == "ask"
            continue
        assert case["expect"] == {
            "verdict": found.verdict.name,
            "http_status": found.http_status,
            "www_authenticate": found.www_authenticate,
            "subject": found.principal.subject if found.principal is not None else "",
        }
