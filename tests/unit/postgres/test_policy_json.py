"""Client policies as JSON: nothing is lost, and nothing is taken for something else."""

import json
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_service.adapters.postgres.policy_json import (
    policy_from_json,
    policy_from_text,
    policy_to_json,
)
from token_service.domain.clients.policy import ClientPolicy, Lifetimes
from token_service.domain.kinds import (
    AccessFormat,
    CredentialKind,
    PairingNetworkRule,
    Permission,
    Platform,
    TokenScheme,
)

FULL = ClientPolicy(
    scheme=TokenScheme.ROLLING,
    platforms=frozenset({Platform.WEB, Platform.MOBILE}),
    audiences=("payments", "orders"),
    scopes=frozenset({"b", "a"}),
    protects_audiences=frozenset({"orders"}),
    permissions=frozenset({Permission.TOKENS_ISSUE, Permission.TRUST_WATCH}),
    access_format=AccessFormat.OPAQUE,
    access_lifetime=timedelta(minutes=4),
    rolling_lifetime=timedelta(hours=1),
    lifetimes={
        Platform.WEB: Lifetimes(timedelta(minutes=5), timedelta(hours=1), timedelta(seconds=30))
    },
    credentials=frozenset({CredentialKind.PASSWORD}),
    may_issue_for=frozenset({"app"}),
    may_pair_for=frozenset({"tv"}),
    signing_algorithm="ES256",
    certificate_thumbprints=frozenset({"ab" * 32}),
    pam_direct=True,
    pairing_max_auth_age=timedelta(minutes=5),
    pairing_network=PairingNetworkRule.DENY,
)

texts = st.text(max_size=8)
durations = st.integers(0, 10**9).map(lambda seconds: timedelta(seconds=seconds))
policies = st.builds(
    ClientPolicy,
    scheme=st.sampled_from(TokenScheme),
    platforms=st.frozensets(st.sampled_from(Platform)),
    audiences=st.lists(texts, max_size=4).map(tuple),
    scopes=st.frozensets(texts),
    protects_audiences=st.frozensets(texts),
    permissions=st.frozensets(st.sampled_from(Permission)),
    access_format=st.sampled_from(AccessFormat),
    access_lifetime=durations,
    rolling_lifetime=durations,
    lifetimes=st.dictionaries(
        st.sampled_from(Platform), st.builds(Lifetimes, durations, durations, durations)
    ),
    credentials=st.frozensets(st.just(CredentialKind.PASSWORD)),
    may_issue_for=st.frozensets(texts),
    may_pair_for=st.frozensets(texts),
    signing_algorithm=texts,
    certificate_thumbprints=st.frozensets(texts),
    pam_direct=st.booleans(),
    pairing_max_auth_age=durations,
    pairing_network=st.sampled_from(PairingNetworkRule),
)


@given(policies)
def test_every_policy_reads_back_as_it_was(policy: ClientPolicy) -> None:
    text = json.dumps(policy_to_json(policy))

    assert policy_from_json(json.loads(text)) == policy
    assert policy_from_text(text) == policy


def test_every_field_is_written_and_none_has_its_default_in_the_example() -> None:
    names = {field.name for field in fields(ClientPolicy)}

    written = {"credentials" if name == "password_login" else name for name in policy_to_json(FULL)}
    assert written == names
    assert {name for name in names if getattr(FULL, name) == getattr(ClientPolicy(), name)} == set()


def test_the_form_is_names_and_seconds() -> None:
    assert policy_to_json(FULL) == {
        "scheme": "ROLLING",
        "platforms": ["MOBILE", "WEB"],
        "audiences": ["payments", "orders"],
        "scopes": ["a", "b"],
        "protects_audiences": ["orders"],
        "permissions": ["tokens.issue", "trust.watch"],
        "access_format": "OPAQUE",
        "access_lifetime": 240,
        "rolling_lifetime": 3600,
        "lifetimes": {"WEB": {"idle": 300, "absolute": 3600, "replay_window": 30}},
        "password_login": True,
        "may_issue_for": ["app"],
        "may_pair_for": ["tv"],
        "signing_algorithm": "ES256",
        "certificate_thumbprints": ["ab" * 32],
        "pam_direct": True,
        "pairing_max_auth_age": 300,
        "pairing_network": "DENY",
    }


def test_what_an_older_version_did_not_write_has_its_default() -> None:
    assert policy_from_json({}) == ClientPolicy()
    assert policy_from_json({"password_login": True}) == replace(
        ClientPolicy(), credentials=frozenset({CredentialKind.PASSWORD})
    )


@pytest.mark.parametrize(
    "change",
    [
        {"only_on_sundays": True},
        {"scheme": "EVERYTHING"},
        {"scheme": 1},
        {"platforms": ["FRIDGE"]},
        {"platforms": "WEB"},
        {"permissions": ["everything"]},
        {"permissions": ["TOKENS_ISSUE"]},
        {"scopes": "orders.read"},
        {"scopes": [1]},
        {"scopes": None},
        {"audiences": {"orders": 1}},
        {"access_lifetime": "300"},
        {"access_lifetime": 1.5},
        {"access_lifetime": True},
        {"access_lifetime": 10**30},
        {"lifetimes": {"WEB": {"idle": 1}}},
        {"lifetimes": {"WEB": {"idle": 1, "absolute": 1, "replay_window": 1, "more": 1}}},
        {"lifetimes": {"FRIDGE": {"idle": 1, "absolute": 1, "replay_window": 1}}},
        {"lifetimes": []},
        {"password_login": "false"},
        {"password_login": 1},
        {"signing_algorithm": None},
    ],
)
def test_what_cannot_be_understood_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="client policy"):
        policy_from_json({**policy_to_json(FULL), **change})


def test_a_fraction_of_a_second_is_refused_rather_than_cut() -> None:
    policy = replace(FULL, access_lifetime=timedelta(milliseconds=1500))

    with pytest.raises(ValueError, match="whole seconds"):
        policy_to_json(policy)


def test_a_remembered_policy_cannot_be_changed() -> None:
    policy = policy_from_text(json.dumps(policy_to_json(FULL)))

    with pytest.raises(TypeError):
        policy.lifetimes[Platform.API] = policy.lifetimes[Platform.WEB]  # type: ignore[index]
