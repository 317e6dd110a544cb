"""Bounds that are written down twice, since one place cannot read the other, say the same."""

from typing import get_args

from token_service.adapters.crypto import argon2id
from token_service.config import Settings
from token_service.config.values import Algorithm
from token_service.domain.clients.policy_rules import SIGNING_ALGORITHMS
from token_service.rpc.policy_table import METHODS
from tokenservice.core.limits import (
    COOKIE_BYTES,
    COOKIE_TOKEN_LENGTH,
    MAX_ACTIVITIES,
    MAX_QUESTIONS,
    MAX_TOKEN_LENGTH,
)
from tokenservice.core.tokens.jose import ALGORITHMS
from tokenservice.v1 import token_service_pb2 as tokens
from tokenservice.v1 import trust_service_pb2 as trust


def test_algorithms_are_the_same_for_settings_policies_and_readers() -> None:
    assert set(get_args(Algorithm)) == SIGNING_ALGORITHMS == ALGORITHMS


def test_the_settings_allow_no_weaker_hash_than_the_hasher() -> None:
    for name, least in (
        ("argon2_memory_kib", argon2id.MIN_MEMORY_KIB),
        ("argon2_passes", argon2id.MIN_PASSES),
        ("argon2_lanes", argon2id.MIN_LANES),
    ):
        bounds = [getattr(bound, "ge", None) for bound in Settings.model_fields[name].metadata]
        assert least in bounds


def test_a_cookie_has_room_for_its_name_and_attributes() -> None:
    attributes = "__Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=15552000"
    assert COOKIE_TOKEN_LENGTH + len(attributes) < COOKIE_BYTES < MAX_TOKEN_LENGTH


def test_the_largest_batches_fit_into_one_message() -> None:
    question = tokens.ValidateRequest(token="t" * MAX_TOKEN_LENGTH, audience="a" * 128)
    batch = tokens.BatchValidateRequest(requests=[question] * MAX_QUESTIONS)
    assert batch.ByteSize() <= METHODS["/tokenservice.v1.TokenService/BatchValidate"].max_bytes
    one = trust.SessionActivity(session_id="0" * 36)
    one.last_activity_at.seconds, one.last_activity_at.nanos = 2**33, 999_999_999
    report = trust.ReportActivityRequest(activities=[one] * MAX_ACTIVITIES)
    report.interval.seconds = 60
    assert report.ByteSize() <= METHODS["/tokenservice.v1.TrustService/ReportActivity"].max_bytes
