"""TokenService messages to domain values and back."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from token_service.domain.errors import invalid_field
from token_service.domain.kinds import Platform, RevocationReason, TrustEntryKind
from token_service.domain.sessions.session import UNKNOWN_DEVICE, Device
from token_service.rpc.mapping import checks
from token_service.usecases.login.client import ClientCredential
from token_service.usecases.login.issue import IssueRequest
from token_service.usecases.login.passwords import PasswordCredential
from token_service.usecases.login.reauthenticate import ReauthenticateRequest
from token_service.usecases.names import visible
from token_service.usecases.sessions.exchange import ExchangeOutcome, ExchangeRequest
from token_service.usecases.tokens.token_set import IssuedAccess, IssuedTokens
from token_service.usecases.trust.revoke import (
    BulkTarget,
    KeyTarget,
    RevokeRequest,
    SessionTarget,
    Target,
    TokenTarget,
)
from tokenservice.core import Requirement
from tokenservice.core.limits import EXCHANGE_ID_LENGTH, THUMBPRINT_LENGTH
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

MAX_USER_AGENT = 512

REVOKER_REASONS = frozenset(
    {
        RevocationReason.LOGOUT,
        RevocationReason.COMPROMISE,
        RevocationReason.LOST_DEVICE,
        RevocationReason.ADMINISTRATIVE,
    }
)
"""The reasons that a caller may give; the others are the service's own."""


def issue_request(message: pb.IssueRequest) -> IssueRequest:
    """Check and map an Issue."""
    credential: PasswordCredential | ClientCredential
    platform = checks.member(message.platform, "platform", Platform, optional=True)
    match message.WhichOneof("credential"):
        case "password":
            credential = _password(message.password, "password")
        case "client":
            credential = ClientCredential()
            platform = platform or Platform.API
        case _:
            raise invalid_field("credential", "must be given")
    if platform is Platform.UNSPECIFIED:
        raise invalid_field("platform", "must be given")
    return IssueRequest(
        credential=credential,
        platform=platform,
        client_id=checks.client_id(message.client_id, "client_id", optional=True),
        audiences=checks.audiences(message.audiences, "audiences"),
        scopes=checks.scopes(message.scopes, "scopes"),
        device=device(message.device),
        confirmation=_confirmation(message.confirmation),
    )


def exchange_request(message: pb.ExchangeRequest) -> ExchangeRequest:
    """Check and map an Exchange."""
    within = None
    if message.HasField("replay_within"):
        within = checks.duration(message.replay_within, "replay_within")
    return _exchange(message, within)


def _exchange(
    message: pb.ExchangeRequest | pb.ReauthenticateRequest, replay_within: timedelta | None = None
) -> ExchangeRequest:
    """What an Exchange and a Reauthenticate have in common."""
    return ExchangeRequest(
        token=checks.token(message.token),
        exchange_id=checks.exact_bytes(message.exchange_id, "exchange_id", EXCHANGE_ID_LENGTH),
        audiences=checks.audiences(message.audiences, "audiences"),
        scopes=checks.scopes(message.scopes, "scopes"),
        device=device(message.device) if message.HasField("device") else UNKNOWN_DEVICE,
        confirmation=_confirmation(message.confirmation),
        replay_within=replay_within,
    )


def reauthenticate_request(message: pb.ReauthenticateRequest) -> ReauthenticateRequest:
    """Check and map a Reauthenticate."""
    if message.WhichOneof("credential") != "password":
        raise invalid_field("credential", "must be given")
    return ReauthenticateRequest(_exchange(message), _password(message.password, "password"))


def revoke_request(message: pb.RevokeRequest) -> RevokeRequest:
    """Check and map a Revoke. Without a reason, a token or session is logged out, and anything
    larger is an administrative act.
    """
    target = _target(message)
    default = (
        RevocationReason.LOGOUT
        if isinstance(target, TokenTarget | SessionTarget)
        else RevocationReason.ADMINISTRATIVE
    )
    return RevokeRequest(target, revocation_reason(message.reason, default), note(message.note))


def revocation_reason(value: int, default: RevocationReason) -> RevocationReason:
    """One of the reasons that a caller may give, or the default."""
    reason = checks.member(value, "reason", RevocationReason, optional=True)
    if reason is RevocationReason.UNSPECIFIED:
        return default
    if reason not in REVOKER_REASONS:
        raise invalid_field("reason", "is not a reason that callers give")
    return reason


def note(value: str) -> str:
    """A note for the audit log."""
    return checks.text(value, "note", at_most=checks.MAX_NOTE)


def requirement(message: pb.ValidateRequest, prefix: str = "") -> Requirement:
    """What the gateway demands. `prefix` leads the field paths (a batch's item)."""
    checks.audience(message.audience, f"{prefix}audience")
    scopes: tuple[str, ...] = ()
    if message.required_scopes:
        scopes = checks.scopes(message.required_scopes, f"{prefix}required_scopes")
    max_auth_age = None
    if message.HasField("max_auth_age"):
        age = checks.duration(message.max_auth_age, f"{prefix}max_auth_age")
        max_auth_age = age.total_seconds()
    checks.acr(message.required_acr, f"{prefix}required_acr")
    return Requirement(
        message.audience,
        frozenset(scopes),
        max_auth_age,
        message.required_acr,
        _confirmation(message.confirmation, prefix),
    )


def device(message: types.Device) -> Device:
    """The device as the gateway reported it, without what is invisible in what people are shown."""
    return Device(
        device_id=checks.device_id(message.device_id, "device.device_id", optional=True),
        name=visible(checks.text(message.name, "device.name")),
        user_agent=visible(
            checks.text(message.user_agent, "device.user_agent", at_most=MAX_USER_AGENT)
        ),
        ip_address=checks.address(message.ip_address, "device.ip_address"),
    )


def exchange_response(outcome: ExchangeOutcome) -> pb.ExchangeResponse:
    """Map an exchange's outcome."""
    return pb.ExchangeResponse(tokens=token_set(outcome.tokens), replayed=outcome.replayed)


def token_set(issued: IssuedTokens) -> types.TokenSet:
    """Map a generation's tokens."""
    session = issued.session
    message = types.TokenSet(
        session_token=issued.session_token,
        session_kind=checks.wire(session.kind),
        session_id=str(session.session_id),
    )
    # Set in place: messages made apart and copied cost three times as much.
    _set(message.session_idle_expires_at, session.idle_expires_at)
    _set(message.session_absolute_expires_at, session.absolute_expires_at)
    for access in issued.access_tokens:
        _add_access_token(message, access)
    return message


def timestamp(moment: datetime) -> Timestamp:
    """A point in time, to the microsecond."""
    message = Timestamp()
    _set(message, moment)
    return message


def _set(message: Timestamp, moment: datetime) -> None:
    since = moment - _EPOCH
    message.seconds = since.days * 86_400 + since.seconds
    message.nanos = since.microseconds * 1000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _add_access_token(message: types.TokenSet, access: IssuedAccess) -> None:
    added = message.access_tokens.add(
        token=access.token,
        audience=access.audience,
        scopes=access.scopes,
        format=checks.wire(access.format),
    )
    _set(added.expires_at, access.expires_at)
    if access.exchange_until:
        _set(added.exchange_until, access.exchange_until)


def _password(message: pb.PasswordCredential, field: str) -> PasswordCredential:
    checks.required(message.username, f"{field}.username")
    checks.password(message.password, f"{field}.password")
    checks.one_time_code(message.otp_code, f"{field}.otp_code")
    return PasswordCredential(message.username, message.password, message.otp_code)


def _target(message: pb.RevokeRequest) -> Target:
    match message.WhichOneof("target"):
        case "token":
            return TokenTarget(checks.token(message.token))
        case "session_id":
            return SessionTarget(checks.uuid(message.session_id, "session_id"))
        case "subject":
            subject = checks.subject(message.subject, "subject")
            return BulkTarget(TrustEntryKind.SUBJECT, subject)
        case "subject_device":
            return BulkTarget(
                TrustEntryKind.SUBJECT_DEVICE,
                checks.subject(message.subject_device.subject, "subject_device.subject"),
                checks.device_id(message.subject_device.device_id, "subject_device.device_id"),
            )
        case "client_id":
            client_id = checks.client_id(message.client_id, "client_id")
            return BulkTarget(TrustEntryKind.CLIENT, client_id)
        case "key_id":
            return KeyTarget(checks.key_id(message.key_id, "key_id"))
        case "everything":
            return BulkTarget(TrustEntryKind.EVERYTHING)
        case _:
            raise invalid_field("target", "must be given")


def _confirmation(value: bytes, prefix: str = "") -> bytes:
    return checks.exact_bytes(value, f"{prefix}confirmation", THUMBPRINT_LENGTH)
