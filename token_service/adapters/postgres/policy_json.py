"""Client policies as JSON: enum names as text, durations as whole seconds.

What cannot be understood is refused, never skipped: an unknown field may be a restriction.
"""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from token_service.domain.clients.policy import ClientPolicy, Lifetimes
from token_service.domain.kinds import (
    AccessFormat,
    CredentialKind,
    PairingNetworkRule,
    Permission,
    Platform,
    TokenScheme,
)

Json = dict[str, Any]


def policy_to_json(policy: ClientPolicy) -> Json:
    """The policy as a JSON object, equal for equal policies."""
    return {
        "scheme": policy.scheme.name,
        "platforms": sorted(platform.name for platform in policy.platforms),
        "audiences": list(policy.audiences),
        "scopes": sorted(policy.scopes),
        "protects_audiences": sorted(policy.protects_audiences),
        "permissions": sorted(permission.value for permission in policy.permissions),
        "access_format": policy.access_format.name,
        "access_lifetime": _seconds(policy.access_lifetime),
        "rolling_lifetime": _seconds(policy.rolling_lifetime),
        "lifetimes": {
            platform.name: {
                "idle": _seconds(own.idle),
                "absolute": _seconds(own.absolute),
                "replay_window": _seconds(own.replay_window),
            }
            for platform, own in sorted(policy.lifetimes.items())
        },
        "password_login": CredentialKind.PASSWORD in policy.credentials,
        "may_issue_for": sorted(policy.may_issue_for),
        "may_pair_for": sorted(policy.may_pair_for),
        "signing_algorithm": policy.signing_algorithm,
        "certificate_thumbprints": sorted(policy.certificate_thumbprints),
        "pam_direct": policy.pam_direct,
        "pairing_max_auth_age": _seconds(policy.pairing_max_auth_age),
        "pairing_network": policy.pairing_network.name,
    }


def policy_from_json(value: Mapping[str, Any]) -> ClientPolicy:
    """The policy of a JSON object; fields that are missing have their defaults.

    Raises ValueError for fields, names or values that this version does not know.
    """
    unknown = value.keys() - _READERS.keys()
    if unknown:
        raise ValueError(f"client policy: unknown field {min(unknown)!r}")
    try:
        return ClientPolicy(
            **{_FIELDS.get(name, name): _READERS[name](part) for name, part in value.items()}
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError("client policy: a value cannot be read") from error


@lru_cache(maxsize=4096)
def policy_from_text(text: str) -> ClientPolicy:
    """`policy_from_json` of a JSON text. Remembered: the same few texts come with every row."""
    return policy_from_json(json.loads(text))


def _seconds(duration: timedelta) -> int:
    seconds, rest = divmod(duration, timedelta(seconds=1))
    if rest:
        raise ValueError("client policy: durations are whole seconds")
    return seconds


def _duration(value: object) -> timedelta:
    if type(value) is not int:
        raise TypeError("not a whole number")
    return timedelta(seconds=value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not true or false")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return tuple(_text(part) for part in value)


def _text_set(value: object) -> frozenset[str]:
    return frozenset(_texts(value))


def _lifetimes(value: Mapping[str, Mapping[str, int]]) -> Mapping[Platform, Lifetimes]:
    return MappingProxyType(
        {
            Platform[name]: Lifetimes(**{part: _duration(own[part]) for part in own})
            for name, own in value.items()
        }
    )


def _password_login(value: object) -> frozenset[CredentialKind]:
    return frozenset({CredentialKind.PASSWORD}) if _flag(value) else frozenset()


_FIELDS = {"password_login": "credentials"}
"""Names in JSON that differ from the field's: nodes of the previous version know no others."""
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "scheme": lambda name: TokenScheme[name],
    "platforms": lambda names: frozenset(Platform[name] for name in _texts(names)),
    "audiences": _texts,
    "scopes": _text_set,
    "protects_audiences": _text_set,
    "permissions": lambda names: frozenset(Permission(name) for name in _texts(names)),
    "access_format": lambda name: AccessFormat[name],
    "access_lifetime": _duration,
    "rolling_lifetime": _duration,
    "lifetimes": _lifetimes,
    "password_login": _password_login,
    "may_issue_for": _text_set,
    "may_pair_for": _text_set,
    "signing_algorithm": _text,
    "certificate_thumbprints": _text_set,
    "pam_direct": _flag,
    "pairing_max_auth_age": _duration,
    "pairing_network": lambda name: PairingNetworkRule[name],
}
