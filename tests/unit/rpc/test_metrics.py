"""Counts that are handed to another process and added up there."""

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from token_service.rpc.metrics import BUCKETS, Counts, MethodCounters, RpcCollector, total

VALIDATE = "/tokenservice.v1.TokenService/Validate"
ISSUE = "/tokenservice.v1.TokenService/Issue"


def counted(*calls: tuple[str, float]) -> MethodCounters:
    counters = MethodCounters()
    for code, seconds in calls:
        counters.count(code, seconds)
    return counters


def shown(counts: Counts) -> dict[tuple[str, str], float]:
    registry = CollectorRegistry()
    registry.register(RpcCollector(lambda: counts))
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def sent(counts: Counts) -> Counts:
    return Counts.from_json(json.loads(json.dumps(counts.to_json())))


ONE = Counts(
    {VALIDATE: counted(("OK", 0.0002), ("OK", 0.3), ("UNAVAILABLE", 99.0)), ISSUE: counted()},
    {"unary": 3, "stream": 1},
    {"tasks": 9, "identities": 1},
)
OTHER = Counts(
    {VALIDATE: counted(("OK", 0.0002)), ISSUE: counted(("OK", 0.05))},
    {"unary": 4},
    {"tasks": 5},
    {"stale_view": 1},
    {"succeeded": 1, "fenced": 2},
)


def test_what_was_sent_shows_the_same() -> None:
    assert shown(sent(ONE)) == shown(ONE)
    assert sent(sent(ONE)).to_json() == ONE.to_json()


def test_counts_add_up() -> None:
    metrics = shown(total([sent(ONE), sent(OTHER), Counts()]))
    assert metrics["token_service_rpc_calls_total", f"{VALIDATE},OK"] == 3
    assert metrics["token_service_rpc_calls_total", f"{VALIDATE},UNAVAILABLE"] == 1
    assert metrics["token_service_rpc_calls_total", f"{ISSUE},OK"] == 1
    assert metrics["token_service_rpc_seconds_bucket", f"{VALIDATE},0.0005"] == 2
    assert metrics["token_service_rpc_seconds_bucket", f"{VALIDATE},10.0"] == 3
    assert metrics["token_service_rpc_seconds_bucket", f"{VALIDATE},+Inf"] == 4
    assert metrics["token_service_rpc_seconds_sum", VALIDATE] == pytest.approx(99.3004)
    assert metrics["token_service_rpc_active", "unary"] == 7
    assert metrics["token_service_rpc_active", "stream"] == 1
    assert metrics["token_service_held", "tasks"] == 14
    assert metrics["token_service_held", "identities"] == 1
    assert metrics["token_service_troubled", "stale_view"] == 1
    assert metrics["token_service_trust_epochs_total", "fenced"] == 2


def test_a_process_that_has_ended_stays_in_what_only_grows() -> None:
    metrics = shown(total([OTHER.ended(), OTHER]))
    assert metrics["token_service_trust_epochs_total", "fenced"] == 4
    assert metrics["token_service_troubled", "stale_view"] == 1


def test_adding_up_changes_no_part() -> None:
    before = ONE.to_json(), OTHER.to_json()
    total([ONE, OTHER, ONE])
    assert (ONE.to_json(), OTHER.to_json()) == before


def test_of_one_that_ended_all_remains_but_what_was_in_flight_or_held() -> None:
    kept = total([ONE.ended(), OTHER])
    assert kept.active == {"unary": 4}
    assert kept.held == {"tasks": 5}
    assert kept.troubles == {"stale_view": 1}
    assert kept.methods[VALIDATE].by_code == {"OK": 3, "UNAVAILABLE": 1}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"methods": {}},
        {"methods": {VALIDATE: [{}, [0] * len(BUCKETS), 0.0]}, "active": {}},
        {"methods": {VALIDATE: [{}, [0] * (len(BUCKETS) + 1)]}, "active": {}},
        {"methods": {VALIDATE: [["OK"], [0] * (len(BUCKETS) + 1), 0.0]}, "active": {}},
    ],
)
def test_what_another_version_sent_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Counts.from_json(value)
