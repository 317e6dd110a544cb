"""A refusal is rendered from the details that the service sends, not from its text alone."""

import json
from datetime import timedelta

import grpc
import pytest

from token_service.cli.problems import refusal_of, show_refusal
from tokenservice import FieldViolation, Reason, TokenServiceError, Unreachable


def invalid(field: str, what: str) -> TokenServiceError:
    violations = (FieldViolation(field, what),)
    return TokenServiceError(
        Reason.FIELD_INVALID, what, grpc.StatusCode.INVALID_ARGUMENT, violations
    )


def test_the_reason_and_the_delay_come_from_the_details() -> None:
    code, delay = grpc.StatusCode.RESOURCE_EXHAUSTED, timedelta(seconds=90)
    locked = TokenServiceError("ACCOUNT_LOCKED", "too many attempts", code, retry_after=delay)
    refusal = refusal_of(locked)
    assert refusal.reason == "ACCOUNT_LOCKED"
    assert refusal.text() == "ACCOUNT_LOCKED: too many attempts\n  try again in 90s"
    assert not refusal.outcome_unknown


def test_the_field_at_fault_is_named() -> None:
    refusal = refusal_of(invalid("device.name", "is too long"))
    assert refusal.fields == (("device.name", "is too long"),)
    assert refusal.text() == "FIELD_INVALID: is too long\n  field device.name"


def test_a_failure_without_details_is_told_by_its_code() -> None:
    refusal = refusal_of(Unreachable("", "connection refused", grpc.StatusCode.UNAVAILABLE))
    assert refusal.text() == "UNAVAILABLE: connection refused"
    assert refusal.outcome_unknown
    assert refusal.unreached


def test_a_reason_of_a_newer_server_is_told_as_it_is() -> None:
    newer = TokenServiceError("WEATHER", "rain", grpc.StatusCode.FAILED_PRECONDITION)
    assert refusal_of(newer).text() == "WEATHER: rain"


def test_scripts_read_one_line_of_json_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    refusal = refusal_of(invalid("token", "is empty"))
    show_refusal(refusal, as_json=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    error = json.loads(captured.err)["error"]
    assert error["reason"] == "FIELD_INVALID"
    assert error["fields"] == [{"field": "token", "description": "is empty"}]
