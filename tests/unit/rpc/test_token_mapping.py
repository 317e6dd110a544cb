"""What TokenService accepts, and which field it blames."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.duration_pb2 import Duration

from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Platform, RevocationReason, TrustEntryKind
from token_service.domain.sessions.session import Device
from token_service.rpc.mapping import checks, tokens
from token_service.usecases.login.client import ClientCredential
from token_service.usecases.login.passwords import PasswordCredential
from token_service.usecases.trust.revoke import BulkTarget, KeyTarget, SessionTarget, TokenTarget
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

SESSION = "0b5c1a52-3c6b-4f4e-8c0e-8f6d5d1f9a11"
PASSWORD = pb.PasswordCredential(username="alice", password="correct horse")
KEY = 16 * b"k"
THUMBPRINT = 32 * b"t"


def issue(**fields: Any) -> Any:
    given: dict[str, Any] = {"password": PASSWORD, "platform": types.PLATFORM_WEB} | fields
    return tokens.issue_request(pb.IssueRequest(**given))


def login(**fields: Any) -> Any:
    given: dict[str, Any] = {"username": "alice", "password": "correct horse"} | fields
    return issue(password=pb.PasswordCredential(**given))


def device(**fields: Any) -> Any:
    return issue(device=types.Device(**fields))


def exchange(**fields: Any) -> Any:
    return tokens.exchange_request(pb.ExchangeRequest(**{"token": "t", **fields}))


def reauthenticate(**fields: Any) -> Any:
    given: dict[str, Any] = {"token": "t", "password": PASSWORD} | fields
    return tokens.reauthenticate_request(pb.ReauthenticateRequest(**given))


def validate(**fields: Any) -> Any:
    return tokens.requirement(pb.ValidateRequest(**{"audience": "orders", **fields}))


def revoke(**fields: Any) -> Any:
    return tokens.revoke_request(pb.RevokeRequest(**fields))


def on_device(**fields: Any) -> Any:
    given: dict[str, Any] = {"subject": SESSION, "device_id": "phone"} | fields
    return revoke(subject_device=pb.SubjectDevice(**given))


NUL = "nul\0byte"
BAD: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (issue, {"password": None}, "credential"),
    (issue, {"platform": 0}, "platform"),
    (issue, {"platform": 99}, "platform"),
    (issue, {"platform": -1}, "platform"),
    (issue, {"client_id": "Upper"}, "client_id"),
    (issue, {"client_id": "x" * 65}, "client_id"),
    (issue, {"client_id": NUL}, "client_id"),
    (issue, {"audiences": ["ok", ""]}, "audiences[1]"),
    (issue, {"audiences": ["two words"]}, "audiences[0]"),
    (issue, {"audiences": ["x" * 129]}, "audiences[0]"),
    (issue, {"audiences": [str(number) for number in range(33)]}, "audiences"),
    (issue, {"scopes": ["read", 'quo"te']}, "scopes[1]"),
    (issue, {"scopes": ["x" * 65]}, "scopes[0]"),
    (issue, {"scopes": [str(number) for number in range(65)]}, "scopes"),
    (issue, {"confirmation": b"short"}, "confirmation"),
    (issue, {"confirmation": 33 * b"x"}, "confirmation"),
    (login, {"username": ""}, "password.username"),
    (login, {"username": "  "}, "password.username"),
    (login, {"username": NUL}, "password.username"),
    (login, {"username": "x" * 129}, "password.username"),
    (login, {"password": ""}, "password.password"),
    (login, {"password": "x" * 1025}, "password.password"),
    (login, {"password": "é" * 513}, "password.password"),
    (login, {"password": NUL}, "password.password"),
    (login, {"otp_code": "12345"}, "password.otp_code"),
    (login, {"otp_code": "123456789"}, "password.otp_code"),
    (login, {"otp_code": "12345x"}, "password.otp_code"),
    (login, {"otp_code": "١٢٣٤٥٦"}, "password.otp_code"),
    (device, {"device_id": "x" * 129}, "device.device_id"),
    (device, {"device_id": "téléphone"}, "device.device_id"),
    (device, {"device_id": NUL}, "device.device_id"),
    (device, {"name": "x" * 129}, "device.name"),
    (device, {"name": "line\u2028break"}, "device.name"),
    (device, {"name": "turned\u202earound"}, "device.name"),
    (device, {"user_agent": "x" * 513}, "device.user_agent"),
    (device, {"user_agent": "tab\tand\nnewline"}, "device.user_agent"),
    (device, {"ip_address": "nowhere"}, "device.ip_address"),
    (device, {"ip_address": "10.0.0.1:80"}, "device.ip_address"),
    (device, {"ip_address": "1" * 10_000}, "device.ip_address"),
    (device, {"ip_address": "fe80::1%eth0"}, "device.ip_address"),
    (device, {"ip_address": "fe80::1%\0"}, "device.ip_address"),
    (exchange, {"token": ""}, "token"),
    (exchange, {"token": "x" * 8193}, "token"),
    (exchange, {"token": NUL}, "token"),
    (exchange, {"exchange_id": 15 * b"x"}, "exchange_id"),
    (exchange, {"exchange_id": 17 * b"x"}, "exchange_id"),
    (exchange, {"audiences": [NUL]}, "audiences[0]"),
    (exchange, {"scopes": [""]}, "scopes[0]"),
    (exchange, {"confirmation": b"x"}, "confirmation"),
    (exchange, {"device": types.Device(ip_address="x")}, "device.ip_address"),
    (reauthenticate, {"password": None}, "credential"),
    (reauthenticate, {"token": ""}, "token"),
    (reauthenticate, {"exchange_id": b"x"}, "exchange_id"),
    (validate, {"audience": ""}, "audience"),
    (validate, {"audience": NUL}, "audience"),
    (validate, {"audience": "x" * 100_000}, "audience"),
    (validate, {"required_scopes": ["read", ""]}, "required_scopes[1]"),
    (validate, {"required_scopes": ["x"] * 65}, "required_scopes"),
    (validate, {"required_acr": "aal4"}, "required_acr"),
    (validate, {"max_auth_age": Duration(seconds=-1)}, "max_auth_age"),
    (validate, {"max_auth_age": Duration(seconds=1, nanos=-1)}, "max_auth_age"),
    (validate, {"max_auth_age": Duration(seconds=10**12)}, "max_auth_age"),
    (validate, {"confirmation": 31 * b"x"}, "confirmation"),
    (revoke, {}, "target"),
    (revoke, {"token": ""}, "token"),
    (revoke, {"token": "x" * 8193}, "token"),
    (revoke, {"session_id": ""}, "session_id"),
    (revoke, {"session_id": "not-a-uuid"}, "session_id"),
    (revoke, {"session_id": SESSION.upper()}, "session_id"),
    (revoke, {"session_id": f"{{{SESSION}}}"}, "session_id"),
    (revoke, {"subject": ""}, "subject"),
    (revoke, {"subject": "Not An Id"}, "subject"),
    (revoke, {"client_id": "-starts-with-a-hyphen"}, "client_id"),
    (revoke, {"key_id": "xyz"}, "key_id"),
    (revoke, {"key_id": "0123456789ABCDEF"}, "key_id"),
    (on_device, {"subject": ""}, "subject_device.subject"),
    (on_device, {"device_id": ""}, "subject_device.device_id"),
    (revoke, {"session_id": SESSION, "reason": 99}, "reason"),
    (revoke, {"session_id": SESSION, "reason": types.REVOCATION_REASON_TOKEN_REUSED}, "reason"),
    (revoke, {"session_id": SESSION, "note": "x" * 513}, "note"),
    (revoke, {"session_id": SESSION, "note": NUL}, "note"),
]


@pytest.mark.parametrize(("build", "fields", "path"), BAD)
def test_bad_input_is_blamed_on_its_field(
    build: Callable[..., Any], fields: dict[str, Any], path: str
) -> None:
    with pytest.raises(TokenServiceError) as caught:
        build(**fields)
    assert (caught.value.reason, caught.value.field) == (Reason.FIELD_INVALID, path)
    assert caught.value.message


def test_a_batch_names_the_item() -> None:
    with pytest.raises(TokenServiceError) as caught:
        tokens.requirement(pb.ValidateRequest(), "requests[3].")
    assert caught.value.field == "requests[3].audience"


@pytest.mark.parametrize("token", ["", "\0", "x" * 1_000_000, "é", "tsk_web_broken"])
def test_any_token_may_be_asked_about(token: str) -> None:
    assert validate(token=token).audience == "orders"


def test_a_password_login() -> None:
    request = issue(
        client_id="shop",
        audiences=["orders", "orders", "stock"],
        scopes=["read"],
        device=types.Device(
            device_id="d1",
            name="👨\u200d👩\u200d👧's phone",
            user_agent="x/1",
            ip_address="::ffff:10.0.0.1",
        ),
        confirmation=THUMBPRINT,
    )
    assert request.credential == PasswordCredential("alice", "correct horse")
    assert request.platform is Platform.WEB
    assert request.client_id == "shop"
    assert request.audiences == ("orders", "stock")
    assert request.scopes == ("read",)
    assert request.device == Device("d1", "👨\u200d👩\u200d👧's phone", "x/1", "10.0.0.1")
    assert request.confirmation == THUMBPRINT
    assert "correct horse" not in repr(request)


def test_a_client_logs_in_on_the_platform_of_programs() -> None:
    request = tokens.issue_request(pb.IssueRequest(client=pb.ClientCredential()))
    assert request.credential == ClientCredential()
    assert request.platform is Platform.API
    asked = pb.IssueRequest(client=pb.ClientCredential(), platform=types.PLATFORM_WEB)
    assert tokens.issue_request(asked).platform is Platform.WEB


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("2001:DB8:0:0::1", "2001:db8::1"), ("192.0.2.1", "192.0.2.1"), ("", "")],
)
def test_an_address_has_one_spelling(text: str, canonical: str) -> None:
    assert checks.address(text, "x") == canonical


def test_an_exchange() -> None:
    request = exchange(exchange_id=KEY, scopes=["b", "a"], confirmation=THUMBPRINT)
    assert (request.token, request.exchange_id) == ("t", KEY)
    assert request.scopes == ("b", "a")
    assert exchange().exchange_id == b""


def test_a_reauthentication() -> None:
    request = reauthenticate(exchange_id=KEY)
    assert request.exchange.exchange_id == KEY
    assert request.credential == PasswordCredential("alice", "correct horse")


def test_a_requirement() -> None:
    requirement = validate(
        required_scopes=["a", "b", "a"],
        max_auth_age=Duration(seconds=90, nanos=500_000_000),
        required_acr="aal2",
        confirmation=THUMBPRINT,
    )
    assert requirement.scopes == {"a", "b"}
    assert requirement.max_auth_age == 90.5
    assert (requirement.acr, requirement.confirmation) == ("aal2", THUMBPRINT)
    assert validate().max_auth_age is None
    assert validate(max_auth_age=Duration()).max_auth_age == 0


@pytest.mark.parametrize(
    ("fields", "target", "reason"),
    [
        ({"token": "t"}, TokenTarget("t"), RevocationReason.LOGOUT),
        ({"session_id": SESSION}, SessionTarget(UUID(SESSION)), RevocationReason.LOGOUT),
        (
            {"subject": SESSION},
            BulkTarget(TrustEntryKind.SUBJECT, SESSION),
            RevocationReason.ADMINISTRATIVE,
        ),
        (
            {"subject_device": pb.SubjectDevice(subject=SESSION, device_id="d")},
            BulkTarget(TrustEntryKind.SUBJECT_DEVICE, SESSION, "d"),
            RevocationReason.ADMINISTRATIVE,
        ),
        (
            {"client_id": "shop"},
            BulkTarget(TrustEntryKind.CLIENT, "shop"),
            RevocationReason.ADMINISTRATIVE,
        ),
        ({"key_id": "01234567"}, KeyTarget("01234567"), RevocationReason.ADMINISTRATIVE),
        (
            {"everything": pb.RevokeEverything()},
            BulkTarget(TrustEntryKind.EVERYTHING),
            RevocationReason.ADMINISTRATIVE,
        ),
    ],
)
def test_a_revocation_and_its_reason(
    fields: dict[str, Any], target: Any, reason: RevocationReason
) -> None:
    assert revoke(**fields).target == target
    assert revoke(**fields).reason is reason
    given = revoke(**fields, reason=types.REVOCATION_REASON_COMPROMISE, note="why")
    assert (given.reason, given.note) == (RevocationReason.COMPROMISE, "why")
