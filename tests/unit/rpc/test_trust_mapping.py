"""What TrustService accepts of validators, and checks that all services share."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from token_service.domain.errors import Reason, TokenServiceError
from token_service.rpc.mapping import checks, tokens, trust
from tokenservice.v1 import trust_service_pb2 as trust_pb

SESSION = "0b5c1a52-3c6b-4f4e-8c0e-8f6d5d1f9a11"


def report(*activities: Any) -> Any:
    return trust.reported_activity(trust_pb.ReportActivityRequest(activities=activities))


def activity(session_id: str = SESSION, seconds: int | None = 1) -> Any:
    at = None if seconds is None else Timestamp(seconds=seconds)
    return trust_pb.SessionActivity(session_id=session_id, last_activity_at=at)


def test_reported_activity() -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1)
    assert report(activity()) == [(UUID(SESSION), at)]


@pytest.mark.parametrize(
    ("activities", "path"),
    [
        ([], "activities"),
        ([activity()] * 1001, "activities"),
        ([activity(), activity("x")], "activities[1].session_id"),
        ([activity(seconds=None)], "activities[0].last_activity_at"),
        ([activity(seconds=-1)], "activities[0].last_activity_at"),
        ([activity(seconds=253_402_300_800)], "activities[0].last_activity_at"),
    ],
)
def test_bad_activity(activities: list[Any], path: str) -> None:
    with pytest.raises(TokenServiceError) as caught:
        report(*activities)
    assert (caught.value.reason, caught.value.field) == (Reason.FIELD_INVALID, path)


@pytest.mark.parametrize(("given", "meant"), [(0, 50), (1, 1), (500, 500)])
def test_a_page_size(given: int, meant: int) -> None:
    assert checks.page_size(given) == meant


@pytest.mark.parametrize("given", [-1, 501])
def test_a_bad_page_size(given: int) -> None:
    with pytest.raises(TokenServiceError, match="must be 0 to 500"):
        checks.page_size(given)


def test_a_moment_survives_the_way_there_and_back() -> None:
    moment = datetime(2026, 11, 22, 20, 42, 42, 123_456, tzinfo=UTC)
    assert checks.timestamp(tokens.timestamp(moment), "x") == moment
