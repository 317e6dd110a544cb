"""Client policies: messages to domain values and back."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration

from token_service.domain.clients.policy import ClientPolicy, Lifetimes
from token_service.domain.clients.policy_rules import (
    MAX_CLIENT_IDS,
    MAX_THUMBPRINTS,
    check_policy,
    is_client_id,
)
from token_service.domain.errors import invalid_field
from token_service.domain.kinds import (
    AccessFormat,
    CredentialKind,
    PairingNetworkRule,
    Permission,
    Platform,
    TokenScheme,
)
from token_service.rpc.mapping import checks
from tokenservice.core.limits import (
    MAX_AUDIENCE_LENGTH,
    MAX_AUDIENCES,
    MAX_SCOPE_LENGTH,
    MAX_SCOPES,
    THUMBPRINT_LENGTH,
)
from tokenservice.v1 import client_policy_pb2 as pb

_DEFAULTS = ClientPolicy()

Value = TypeVar("Value")


def policy_from(message: pb.ClientPolicy, path: str = "policy") -> ClientPolicy:
    """Check and map a policy; what is absent has its default. `path` leads the field paths."""
    scheme = checks.member(message.scheme, f"{path}.scheme", TokenScheme, optional=True)
    scheme = scheme or TokenScheme.SESSION_ACCESS
    form = checks.member(
        message.access_format, f"{path}.access_format", AccessFormat, optional=True
    )
    policy = ClientPolicy(
        scheme=scheme,
        platforms=_platforms(message.platforms, f"{path}.platforms"),
        audiences=_names(message.audiences, f"{path}.audiences", MAX_AUDIENCES),
        scopes=frozenset(_names(message.scopes, f"{path}.scopes", MAX_SCOPES, MAX_SCOPE_LENGTH)),
        protects_audiences=frozenset(
            _names(message.protects_audiences, f"{path}.protects_audiences", MAX_AUDIENCES)
        ),
        permissions=_permissions(message.permissions, f"{path}.permissions"),
        access_format=form or AccessFormat.JWT,
        access_lifetime=_lifetime(
            message, "access_lifetime", _DEFAULTS.access_lifetime, f"{path}.access_lifetime"
        ),
        rolling_lifetime=_lifetime(
            message, "rolling_lifetime", _DEFAULTS.rolling_lifetime, f"{path}.rolling_lifetime"
        ),
        lifetimes=_session_lifetimes(
            message.session_lifetimes, scheme, f"{path}.session_lifetimes"
        ),
        credentials=_credentials(message),
        may_issue_for=_client_ids(message.may_issue_for, f"{path}.may_issue_for"),
        may_pair_for=_client_ids(message.may_pair_for, f"{path}.may_pair_for"),
        signing_algorithm=checks.text(
            message.signing_algorithm, f"{path}.signing_algorithm", at_most=16
        ),
        certificate_thumbprints=_thumbprints(
            message.certificate_thumbprints, f"{path}.certificate_thumbprints"
        ),
        pam_direct=message.pam_direct,
        pairing_max_auth_age=_lifetime(
            message,
            "pairing_max_auth_age",
            _DEFAULTS.pairing_max_auth_age,
            f"{path}.pairing_max_auth_age",
        ),
        pairing_network=checks.member(
            message.pairing_network, f"{path}.pairing_network", PairingNetworkRule, optional=True
        )
        or PairingNetworkRule.WARN,
    )
    check_policy(policy, path)
    return policy


def policy_message(policy: ClientPolicy) -> pb.ClientPolicy:
    """Map a policy, with every default spelled out but those of session lifetimes."""
    return pb.ClientPolicy(
        scheme=checks.wire(policy.scheme),
        platforms=[checks.wire(platform) for platform in sorted(policy.platforms)],
        audiences=policy.audiences,
        scopes=sorted(policy.scopes),
        protects_audiences=sorted(policy.protects_audiences),
        permissions=sorted(permission.value for permission in policy.permissions),
        access_format=checks.wire(policy.access_format),
        signing_algorithm=policy.signing_algorithm,
        access_lifetime=_duration(policy.access_lifetime),
        rolling_lifetime=_duration(policy.rolling_lifetime),
        session_lifetimes=[
            pb.SessionLifetime(
                platform=checks.wire(platform),
                idle=_duration(own.idle),
                absolute=_duration(own.absolute),
                replay_window=_duration(own.replay_window),
            )
            for platform, own in sorted(policy.lifetimes.items())
        ],
        may_issue_for=sorted(policy.may_issue_for),
        may_pair_for=sorted(policy.may_pair_for),
        password_login=CredentialKind.PASSWORD in policy.credentials,
        certificate_thumbprints=[
            bytes.fromhex(thumbprint) for thumbprint in sorted(policy.certificate_thumbprints)
        ],
        pam_direct=policy.pam_direct,
        pairing_max_auth_age=_duration(policy.pairing_max_auth_age),
        pairing_network=checks.wire(policy.pairing_network),
    )


def client_id(value: str, field: str = "client_id") -> str:
    """A client id: required, and of their shape."""
    if not is_client_id(value):
        raise invalid_field(field, "must be a client id")
    return value


def _names(
    values: Iterable[str], path: str, most: int, longest: int = MAX_AUDIENCE_LENGTH
) -> tuple[str, ...]:
    return checks.names(values, path, at_most=most, longest=longest)


def _platforms(values: Iterable[int], path: str) -> frozenset[Platform]:
    return frozenset(
        checks.member(value, f"{path}[{index}]", Platform) for index, value in enumerate(values)
    )


def _permissions(values: Iterable[str], path: str) -> frozenset[Permission]:
    found = set()
    for index, value in enumerate(values):
        try:
            found.add(Permission(value))
        except ValueError:
            raise invalid_field(f"{path}[{index}]", "is not a permission") from None
    return frozenset(found)


def _client_ids(values: Iterable[str], path: str) -> frozenset[str]:
    listed = _bounded(values, path, MAX_CLIENT_IDS)
    return frozenset(client_id(value, f"{path}[{index}]") for index, value in enumerate(listed))


def _thumbprints(values: Iterable[bytes], path: str) -> frozenset[str]:
    found = set()
    for index, value in enumerate(_bounded(values, path, MAX_THUMBPRINTS)):
        if len(value) != THUMBPRINT_LENGTH:
            raise invalid_field(f"{path}[{index}]", f"must have exactly {THUMBPRINT_LENGTH} bytes")
        found.add(value.hex())
    return frozenset(found)


def _session_lifetimes(
    messages: Iterable[pb.SessionLifetime], scheme: TokenScheme, path: str
) -> dict[Platform, Lifetimes]:
    own: dict[Platform, Lifetimes] = {}
    for index, message in enumerate(messages):
        at = f"{path}[{index}]"
        platform = checks.member(message.platform, f"{at}.platform", Platform)
        if platform in own:
            raise invalid_field(f"{at}.platform", "is given twice")
        default = ClientPolicy(scheme=scheme).lifetimes_for(platform)
        own[platform] = Lifetimes(
            _lifetime(message, "idle", default.idle, f"{at}.idle"),
            _lifetime(message, "absolute", default.absolute, f"{at}.absolute"),
            _lifetime(message, "replay_window", default.replay_window, f"{at}.replay_window"),
        )
    return own


def _credentials(message: pb.ClientPolicy) -> frozenset[CredentialKind]:
    return frozenset({CredentialKind.PASSWORD}) if message.password_login else frozenset()


def _lifetime(
    message: pb.ClientPolicy | pb.SessionLifetime, field: str, default: timedelta, path: str
) -> timedelta:
    if not message.HasField(field):  # type: ignore[arg-type]
        return default
    return checks.duration(getattr(message, field), path)


def _bounded(values: Iterable[Value], path: str, most: int) -> list[Value]:
    listed = list(values)
    if len(listed) > most:
        raise invalid_field(path, f"must have at most {most} entries")
    return listed


def _duration(value: timedelta) -> Duration:
    return Duration(seconds=int(value.total_seconds()))
