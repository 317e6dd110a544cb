"""Protobuf messages of the service to plain values and back. Nobody else here touches them."""

from __future__ import annotations

from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

from tokenservice import _values as plain
from tokenservice._decisions.decision import Decision, Principal, Source, unanswered
from tokenservice._errors import SessionOver, TokenServiceError
from tokenservice._reason import Reason
from tokenservice._times import check_duration, check_moment, moment, moment_of
from tokenservice.core import (
    MAX_TOKEN_LENGTH,
    AccessFormat,
    Platform,
    RevocationReason,
    TokenKind,
    Verdict,
)
from tokenservice.v1 import session_service_pb2 as sessions_pb
from tokenservice.v1 import token_service_pb2 as tokens_pb
from tokenservice.v1 import types_pb2 as types_pb

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime, timedelta


Member = TypeVar("Member", bound=IntEnum)


@contextmanager
def sendable() -> Iterator[None]:
    """Around the making of a request: what no message can hold is refused as the service would.

    The library's own exceptions would show the whole text, which may be a password.
    """
    try:
        yield
    except (UnicodeError, ValueError, OverflowError):
        raise TokenServiceError(
            Reason.FIELD_INVALID,
            "the request holds what cannot be sent, such as text that is not Unicode",
            StatusCode.INVALID_ARGUMENT,
        ) from None


def may_be_token(text: str) -> bool:
    """Whether a text can be sent where a token is due; nothing else is a token of ours."""
    return 0 < len(text) <= MAX_TOKEN_LENGTH and text.isascii()


def presented(token: str) -> str:
    """Give a token that is to be exchanged back. Raises SessionOver, as the service would."""
    if not may_be_token(token):
        raise SessionOver(
            Reason.TOKEN_MALFORMED, "not a token of this service", StatusCode.UNAUTHENTICATED
        )
    return token


def device_message(device: plain.Device | None) -> types_pb.Device | None:
    """Make the message; None for no device."""
    if device is None:
        return None
    return types_pb.Device(
        device_id=device.device_id,
        name=device.name,
        user_agent=device.user_agent,
        ip_address=device.ip_address,
    )


def names(values: Collection[str]) -> Collection[str]:
    """Give scopes or audiences. Raises TypeError for one text, whose letters would be taken."""
    if isinstance(values, str):
        raise TypeError("several names are due, such as ('orders.read',)")
    return values


def duration(given: timedelta | None, name: str) -> Duration | None:
    """Make the message, None of None. Raises TypeError for anything but a timedelta."""
    check_duration(given, name)
    if given is None:
        return None
    made = Duration()
    made.FromTimedelta(given)
    return made


def timestamp(given: datetime | None, name: str) -> Timestamp | None:
    """Make the message, None of None. Raises TypeError for a time without a time zone."""
    check_moment(given, name)
    if given is None:
        return None
    made = Timestamp()
    made.FromDatetime(given)
    return made


def check_message(check: plain.Check) -> tokens_pb.ValidateRequest:
    """Make the message. Raises TypeError for an age that is no timedelta."""
    return tokens_pb.ValidateRequest(
        # The service answers MALFORMED to both.
        token=check.token if may_be_token(check.token) else "",
        audience=check.audience,
        required_scopes=names(check.scopes),
        min_revision=check.min_revision,
        max_auth_age=duration(check.max_auth_age, "max_auth_age"),
        required_acr=check.acr,
        confirmation=check.confirmation,
    )


def token_set(message: types_pb.TokenSet, *, replayed: bool = False) -> plain.TokenSet:
    """Read what a login or an exchange gave."""
    return plain.TokenSet(
        session_token=message.session_token,
        session_kind=member(TokenKind, message.session_kind),
        session_id=message.session_id,
        idle_expires_at=moment_of(message.session_idle_expires_at),
        absolute_expires_at=moment_of(message.session_absolute_expires_at),
        access_tokens=tuple(map(_access_token, message.access_tokens)),
        replayed=replayed,
    )


def _access_token(message: types_pb.AccessToken) -> plain.AccessToken:
    rolling = message.HasField("exchange_until")
    return plain.AccessToken(
        token=message.token,
        audience=message.audience,
        scopes=tuple(message.scopes),
        format=member(AccessFormat, message.format),
        expires_at=moment_of(message.expires_at),
        exchange_until=moment_of(message.exchange_until) if rolling else None,
    )


def decision(message: tokens_pb.ValidateResponse) -> Decision:
    """Read a verdict; one that is not known is none, and so refuses."""
    verdict = member(Verdict, message.verdict)
    if verdict is Verdict.UNSPECIFIED:
        return unanswered("unknown verdict")
    known = message.HasField("principal")
    return Decision(
        verdict=verdict,
        http_status=message.http_status,
        www_authenticate=message.www_authenticate,
        principal=_principal(message.principal) if known else None,
        source=Source.REMOTE,
        revision=message.cache.revision,
    )


def _principal(message: types_pb.Principal) -> Principal:
    return Principal(
        subject=message.subject,
        client_id=message.client_id,
        session_id=message.session_id,
        device_id=message.device_id,
        kind=member(TokenKind, message.kind),
        scopes=frozenset(message.scopes),
        roles=tuple(message.roles),
        audience=message.audience,
        issued_at=moment(message.issued_at.seconds),
        expires_at=moment(message.expires_at.seconds),
        auth_time=moment(message.auth_time.seconds),
        acr=message.acr,
        amr=tuple(message.amr),
        token_id=message.token_id,
    )


def session(message: sessions_pb.Session) -> plain.Session:
    """Read one login."""
    device = message.device
    return plain.Session(
        session_id=message.session_id,
        platform=member(Platform, message.platform),
        kind=member(TokenKind, message.kind),
        device=plain.Device(device.device_id, device.name, device.user_agent, device.ip_address),
        client_id=message.client_id,
        subject=message.subject,
        created_at=moment_of(message.created_at),
        last_activity_at=moment_of(message.last_activity_at),
        idle_expires_at=moment_of(message.idle_expires_at),
        absolute_expires_at=moment_of(message.absolute_expires_at),
        auth_time=moment_of(message.auth_time),
        parent_session_id=message.parent_session_id,
        revoked_at=moment_of(message.revoked_at) if message.HasField("revoked_at") else None,
        revoked_reason=member(RevocationReason, message.revoked_reason),
    )


def member(kind: type[Member], number: int) -> Member:
    """Give the member with this number; UNSPECIFIED for one that a newer server sends."""
    try:
        return kind(number)
    except ValueError:
        return kind(0)


def number(value: IntEnum) -> Any:  # noqa: ANN401 - the generated stubs have a type per enum
    """Give the number that stands in messages; the numbers of both sides' enums are the same."""
    return int(value)
