"""What CodeService accepts, and which field it blames."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from token_service.domain.codes.text import UNAMBIGUOUS
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import CodeKind
from token_service.rpc.mapping import codes as mapping
from tokenservice.v1 import code_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

COUPON: dict[str, Any] = {"purpose": "sale", "kind": types.CODE_KIND_COUPON}
VERIFICATION: dict[str, Any] = {
    "purpose": "signup",
    "kind": types.CODE_KIND_VERIFICATION,
    "recipient": "ana",
}


def blamed(kind: type[Any], mapper: Any, fields: dict[str, Any]) -> str:
    with pytest.raises(TokenServiceError) as caught:
        mapper(kind(**fields))
    assert caught.value.reason is Reason.FIELD_INVALID
    return caught.value.field


@pytest.mark.parametrize(
    ("base", "changes", "field"),
    [
        (COUPON, {"purpose": ""}, "purpose"),
        (COUPON, {"purpose": "two words"}, "purpose"),
        (COUPON, {"purpose": "x" * 65}, "purpose"),
        (COUPON, {"purpose": "a\0b"}, "purpose"),
        (COUPON, {"kind": 0}, "kind"),
        (COUPON, {"kind": 99}, "kind"),
        (COUPON, {"recipient": " "}, "recipient"),
        (COUPON, {"recipient": "a\0"}, "recipient"),
        (COUPON, {"subject": "a\0"}, "subject"),
        (COUPON, {"subject": "x" * 129}, "subject"),
        (COUPON, {"max_uses": 1_000_000_001}, "max_uses"),
        (COUPON, {"ttl": Duration()}, "ttl"),
        (COUPON, {"ttl": Duration(nanos=1)}, "ttl"),
        (COUPON, {"ttl": Duration(seconds=-1)}, "ttl"),
        (COUPON, {"ttl": Duration(seconds=2**40)}, "ttl"),
        (COUPON, {"not_before": Timestamp(seconds=-1)}, "not_before"),
        (COUPON, {"not_before": Timestamp(seconds=2**40)}, "not_before"),
        (COUPON, {"length": 1}, "length"),
        (COUPON, {"alphabet": "00"}, "alphabet"),
        (COUPON, {"payload": b"x" * 4097}, "payload"),
        (COUPON, {"request_id": " "}, "request_id"),
        (COUPON, {"request_id": "x" * 65}, "request_id"),
        (COUPON, {"request_id": "é"}, "request_id"),
        (COUPON, {"request_id": "a\0"}, "request_id"),
        (VERIFICATION, {"recipient": ""}, "recipient"),
        (VERIFICATION, {"max_uses": 2}, "max_uses"),
        (VERIFICATION, {"ttl": Duration(seconds=601)}, "ttl"),
        (VERIFICATION, {"not_before": Timestamp(seconds=1)}, "not_before"),
        (VERIFICATION, {"length": 5}, "length"),
        (VERIFICATION, {"alphabet": "abcdefghjk"}, "alphabet"),
    ],
)
def test_what_cannot_be_issued_is_blamed_on_its_field(
    base: dict[str, Any], changes: dict[str, Any], field: str
) -> None:
    assert blamed(pb.IssueCodeRequest, mapping.wish, {**base, **changes}) == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"purpose": ""}, "purpose"),
        ({"code": ""}, "code"),
        ({"code": " - "}, "code"),
        ({"code": "1" * 129}, "code"),
        ({"code": "12\x0034"}, "code"),
        ({"recipient": "x" * 257}, "recipient"),
        ({"recipient": "\n"}, "recipient"),
        ({"redeemer": "x" * 129}, "redeemer"),
        ({"redeemer": "\0"}, "redeemer"),
        ({"request_id": "\0"}, "request_id"),
    ],
)
def test_what_cannot_be_redeemed_is_blamed_on_its_field(
    changes: dict[str, Any], field: str
) -> None:
    base = {"purpose": "sale", "code": "7K3M9XQ2"}
    assert blamed(pb.RedeemCodeRequest, mapping.redeem_request, {**base, **changes}) == field


@pytest.mark.parametrize("value", ["", "x", "0B5C1A52-3C6B-4F4E-8C0E-8F6D5D1F9A11"])
def test_a_code_id_is_a_uuid(value: str) -> None:
    with pytest.raises(TokenServiceError) as caught:
        mapping.code_id(value)
    assert caught.value.field == "code_id"


def test_what_is_left_out_has_its_default() -> None:
    coupon = mapping.wish(pb.IssueCodeRequest(**COUPON))
    assert (coupon.kind, coupon.max_uses, coupon.length) == (CodeKind.COUPON, 1, 12)
    assert (coupon.alphabet, coupon.ttl) == (UNAMBIGUOUS, timedelta(days=30))
    assert (coupon.recipient, coupon.not_before, coupon.request_id) == ("", None, "")
    invitation = mapping.wish(pb.IssueCodeRequest(purpose="team", kind=types.CODE_KIND_INVITATION))
    assert (invitation.length, invitation.ttl) == (16, timedelta(days=7))
    verification = mapping.wish(pb.IssueCodeRequest(**VERIFICATION))
    assert (verification.length, verification.ttl) == (6, timedelta(minutes=10))


def test_what_is_given_is_kept() -> None:
    wish = mapping.wish(
        pb.IssueCodeRequest(
            **COUPON,
            recipient="Ana@Example.com",
            subject="spring",
            max_uses=7,
            ttl=Duration(seconds=1),
            not_before=Timestamp(seconds=1_800_000_000),
            length=20,
            alphabet="abcd",
            payload=b"\0\xff",
            request_id="r1",
        )
    )
    assert (wish.recipient, wish.subject, wish.max_uses) == ("ana@example.com", "spring", 7)
    assert wish.not_before == datetime.fromtimestamp(1_800_000_000, UTC)
    assert (wish.ttl, wish.length, wish.alphabet) == (timedelta(seconds=1), 20, "abcd")
    assert (wish.payload, wish.request_id) == (b"\0\xff", "r1")


def test_codes_and_recipients_come_in_their_one_form() -> None:
    request = mapping.redeem_request(
        pb.RedeemCodeRequest(purpose="sale", code="7k3m-ol", recipient="ANA", redeemer="u1")
    )
    assert (request.code, request.recipient, request.redeemer) == ("7K3M01", "ana", "u1")
    assert "7K3M01" not in repr(request)


def test_kinds_have_the_numbers_of_the_wire() -> None:
    assert {f"CODE_KIND_{kind.name}": kind.value for kind in CodeKind} == dict(
        types.CodeKind.items()
    )
