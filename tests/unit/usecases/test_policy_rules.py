"""Which policies a client may have."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from token_service.domain.clients.policy import ClientPolicy, Lifetimes
from token_service.domain.clients.policy_rules import check_policy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import (
    AccessFormat,
    PairingNetworkRule,
    Permission,
    Platform,
    TokenScheme,
)

GOOD = ClientPolicy(
    platforms=frozenset({Platform.WEB}),
    audiences=("orders", "https://billing.example/"),
    scopes=frozenset({"orders.read", "billing:write"}),
    permissions=frozenset({Permission.TOKENS_ISSUE}),
    may_issue_for=frozenset({"not-there-yet"}),
    signing_algorithm="ES256",
    certificate_thumbprints=frozenset({"ab" * 32}),
)


def lifetimes(**changes: timedelta) -> dict[Platform, Lifetimes]:
    hour = timedelta(hours=1)
    return {Platform.WEB: replace(Lifetimes(hour, hour, hour), **changes)}


def many(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


def test_an_ordinary_policy_is_accepted() -> None:
    check_policy(GOOD)
    check_policy(ClientPolicy())


@pytest.mark.parametrize(
    "changes",
    [
        {"audiences": tuple(many(32))},
        {"scopes": frozenset(many(64))},
        {"scopes": frozenset({"a" * 64, "!#[]~"})},
        {"may_pair_for": frozenset(many(64))},
        {"access_lifetime": timedelta(seconds=10)},
        {"access_lifetime": timedelta(hours=1)},
        {"rolling_lifetime": timedelta(hours=24)},
        {"pairing_max_auth_age": timedelta(0)},
        {"pairing_max_auth_age": timedelta(hours=24)},
        {"lifetimes": lifetimes(replay_window=timedelta(0))},
        {"lifetimes": lifetimes(replay_window=timedelta(hours=24))},
        {"lifetimes": lifetimes(absolute=timedelta(days=180))},
        {"scheme": TokenScheme.ROLLING, "signing_algorithm": "HS256"},
    ],
)
def test_the_bounds_themselves_are_accepted(changes: dict[str, Any]) -> None:
    check_policy(replace(GOOD, **changes))


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("audiences", {"audiences": tuple(many(33))}),
        ("audiences", {"audiences": ("orders", "orders")}),
        ("audiences", {"audiences": ("with blank",)}),
        ("audiences", {"audiences": ("",)}),
        ("audiences", {"audiences": ('quo"te',)}),
        ("audiences", {"audiences": ("a" * 129,)}),
        ("audiences", {"audiences": ("orders\n",)}),
        ("scopes", {"scopes": frozenset(many(65))}),
        ("scopes", {"scopes": frozenset({'quo"te'})}),
        ("scopes", {"scopes": frozenset({"back\\slash"})}),
        ("scopes", {"scopes": frozenset({"a" * 65})}),
        ("scopes", {"scopes": frozenset({"orders.read\n"})}),
        ("scopes", {"scopes": frozenset({"nul\0"})}),
        ("protects_audiences", {"protects_audiences": frozenset(many(33))}),
        ("may_issue_for", {"may_issue_for": frozenset(many(65))}),
        ("may_issue_for", {"may_issue_for": frozenset({"Upper"})}),
        ("may_pair_for", {"may_pair_for": frozenset({"-first"})}),
        ("may_pair_for", {"may_pair_for": frozenset({"a" * 65})}),
        ("certificate_thumbprints", {"certificate_thumbprints": frozenset({"AB" * 32})}),
        (
            "certificate_thumbprints",
            {"certificate_thumbprints": frozenset(f"{n:064x}" for n in range(9))},
        ),
        ("signing_algorithm", {"signing_algorithm": "none"}),
        ("signing_algorithm", {"signing_algorithm": "eddsa"}),
        ("scheme", {"scheme": TokenScheme.UNSPECIFIED}),
        ("platforms", {"platforms": frozenset({Platform.UNSPECIFIED})}),
        ("access_format", {"access_format": AccessFormat.UNSPECIFIED}),
        (
            "access_format",
            {"scheme": TokenScheme.ROLLING, "access_format": AccessFormat.OPAQUE},
        ),
        ("access_lifetime", {"access_lifetime": timedelta(seconds=9)}),
        ("access_lifetime", {"access_lifetime": timedelta(hours=1, seconds=1)}),
        ("access_lifetime", {"access_lifetime": timedelta(seconds=10, microseconds=1)}),
        ("access_lifetime", {"access_lifetime": -timedelta(seconds=60)}),
        ("rolling_lifetime", {"rolling_lifetime": timedelta(seconds=59)}),
        ("rolling_lifetime", {"rolling_lifetime": timedelta(hours=24, seconds=1)}),
        ("pairing_max_auth_age", {"pairing_max_auth_age": timedelta(hours=24, seconds=1)}),
        ("pairing_max_auth_age", {"pairing_max_auth_age": -timedelta(seconds=1)}),
        ("pairing_network", {"pairing_network": PairingNetworkRule.UNSPECIFIED}),
        ("session_lifetimes.idle", {"lifetimes": lifetimes(idle=timedelta(0))}),
        ("session_lifetimes.idle", {"lifetimes": lifetimes(idle=timedelta(hours=2))}),
        ("session_lifetimes.absolute", {"lifetimes": lifetimes(absolute=timedelta(days=181))}),
        (
            "session_lifetimes.replay_window",
            {"lifetimes": lifetimes(replay_window=timedelta(hours=25))},
        ),
        (
            "session_lifetimes.replay_window",
            {"lifetimes": lifetimes(replay_window=-timedelta(seconds=1))},
        ),
        (
            "session_lifetimes.platform",
            {"lifetimes": {Platform.UNSPECIFIED: lifetimes()[Platform.WEB]}},
        ),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_name(path: str, changes: dict[str, Any]) -> None:
    with pytest.raises(TokenServiceError) as refused:
        check_policy(replace(GOOD, **changes))
    assert refused.value.reason is Reason.FIELD_INVALID
    assert refused.value.field == f"policy.{path}"
