"""Which policies a client may have at all, whoever asks for them and whoever decides."""

import re
from datetime import timedelta

from token_service.domain.clients.policy import ClientPolicy, Lifetimes
from token_service.domain.errors import TokenServiceError, invalid_field
from token_service.domain.kinds import AccessFormat, PairingNetworkRule, Platform, TokenScheme
from tokenservice.core.limits import (
    AUDIENCE,
    CLIENT_ID,
    MAX_AUDIENCES,
    MAX_SCOPES,
    SCOPE,
    THUMBPRINT_LENGTH,
)
from tokenservice.core.tokens.jose import ALGORITHMS

SIGNING_ALGORITHMS = ALGORITHMS
MAX_CLIENT_IDS = 64
MAX_THUMBPRINTS = 8

MIN_ACCESS_LIFETIME = timedelta(seconds=10)
MAX_ACCESS_LIFETIME = timedelta(hours=1)
MIN_ROLLING_LIFETIME = timedelta(minutes=1)
MAX_ROLLING_LIFETIME = timedelta(hours=24)
MIN_IDLE = timedelta(minutes=1)
MAX_ABSOLUTE = timedelta(days=180)
"""A mint key is kept for as long as the last session token that it made may be presented."""
MAX_REPLAY_WINDOW = timedelta(hours=24)
MAX_PAIRING_AUTH_AGE = timedelta(hours=24)

_THUMBPRINT = re.compile(rf"[0-9a-f]{{{2 * THUMBPRINT_LENGTH}}}")


def is_client_id(text: str) -> bool:
    """Whether `text` has the shape of a client id."""
    return CLIENT_ID.fullmatch(text) is not None


def is_scope(text: str) -> bool:
    """Whether `text` is a scope-token (RFC 6749, section 3.3) of 1 to 64 characters."""
    return SCOPE.fullmatch(text) is not None


def is_audience(text: str) -> bool:
    """Whether `text` is 1 to 128 printable ASCII characters without blanks, and, as it stands in
    quotes in a challenge (RFC 6750), without quotes and backslashes."""
    return AUDIENCE.fullmatch(text) is not None


def is_thumbprint(text: str) -> bool:
    """Whether `text` is a SHA-256 thumbprint in lower-case hexadecimal digits."""
    return _THUMBPRINT.fullmatch(text) is not None


_NAMED = (
    ("audiences", MAX_AUDIENCES, is_audience),
    ("scopes", MAX_SCOPES, is_scope),
    ("protects_audiences", MAX_AUDIENCES, is_audience),
    ("may_issue_for", MAX_CLIENT_IDS, is_client_id),
    ("may_pair_for", MAX_CLIENT_IDS, is_client_id),
    ("certificate_thumbprints", MAX_THUMBPRINTS, is_thumbprint),
)


def check_policy(policy: ClientPolicy, path: str = "policy") -> None:
    """Raise FIELD_INVALID, with field paths below `path`, unless a client may have `policy`.

    Clients named in `may_issue_for` and `may_pair_for` need not exist (yet): nothing is allowed
    for one before it does.
    """
    _check_names(policy, path)
    _check_tokens(policy, path)
    _check_lifetime(
        policy.access_lifetime, MIN_ACCESS_LIFETIME, MAX_ACCESS_LIFETIME, f"{path}.access_lifetime"
    )
    _check_lifetime(
        policy.rolling_lifetime,
        MIN_ROLLING_LIFETIME,
        MAX_ROLLING_LIFETIME,
        f"{path}.rolling_lifetime",
    )
    _check_lifetime(
        policy.pairing_max_auth_age,
        timedelta(0),
        MAX_PAIRING_AUTH_AGE,
        f"{path}.pairing_max_auth_age",
    )
    for platform, own in policy.lifetimes.items():
        _check_session_lifetimes(platform, own, f"{path}.session_lifetimes")


def _check_names(policy: ClientPolicy, path: str) -> None:
    for name, most, fits in _NAMED:
        present = tuple(getattr(policy, name))
        if len(present) > most:
            raise invalid_field(f"{path}.{name}", f"at most {most} are possible")
        if not all(map(fits, present)):
            raise invalid_field(f"{path}.{name}", "has an element of the wrong shape")
    if len(set(policy.audiences)) < len(policy.audiences):
        raise invalid_field(f"{path}.audiences", "has an audience twice")


def _check_tokens(policy: ClientPolicy, path: str) -> None:
    if policy.scheme is TokenScheme.UNSPECIFIED:
        raise invalid_field(f"{path}.scheme", "must be one of the schemes")
    if policy.access_format is AccessFormat.UNSPECIFIED:
        raise invalid_field(f"{path}.access_format", "must be one of the formats")
    if policy.pairing_network is PairingNetworkRule.UNSPECIFIED:
        raise invalid_field(f"{path}.pairing_network", "must be one of the rules")
    if Platform.UNSPECIFIED in policy.platforms:
        raise invalid_field(f"{path}.platforms", "must be platforms")
    if policy.scheme is TokenScheme.ROLLING and policy.access_format is not AccessFormat.JWT:
        raise invalid_field(f"{path}.access_format", "a rolling token is always a JWT")
    if policy.signing_algorithm and policy.signing_algorithm not in SIGNING_ALGORITHMS:
        raise invalid_field(f"{path}.signing_algorithm", "is not a signing algorithm")


def _check_session_lifetimes(platform: Platform, own: Lifetimes, path: str) -> None:
    if platform is Platform.UNSPECIFIED:
        raise invalid_field(f"{path}.platform", "must be a platform")
    _check_lifetime(own.idle, MIN_IDLE, MAX_ABSOLUTE, f"{path}.idle")
    _check_lifetime(own.absolute, MIN_IDLE, MAX_ABSOLUTE, f"{path}.absolute")
    _check_lifetime(own.replay_window, timedelta(0), MAX_REPLAY_WINDOW, f"{path}.replay_window")
    if own.idle > own.absolute:
        raise invalid_field(f"{path}.idle", "must not exceed the absolute lifetime")


def _check_lifetime(value: timedelta, least: timedelta, most: timedelta, path: str) -> None:
    if not least <= value <= most:
        raise _out_of_range(path, least, most)
    if value % timedelta(seconds=1):
        raise invalid_field(path, "must be whole seconds")


def _out_of_range(path: str, least: timedelta, most: timedelta) -> TokenServiceError:
    low, high = int(least.total_seconds()), int(most.total_seconds())
    return invalid_field(path, f"must be between {low} and {high} seconds")
