"""Which changes of a policy add power, and who may make them."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.clients.policy import DEFAULT_LIFETIMES, ClientPolicy, Lifetimes
from token_service.domain.clients.power import (
    POWER,
    adds_power,
    require_may_change,
    require_may_review,
)
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import (
    ADMINISTRATIVE,
    AccessFormat,
    ClientState,
    CredentialKind,
    PairingNetworkRule,
    Permission,
    Platform,
    TokenScheme,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WEB = DEFAULT_LIFETIMES[Platform.WEB]
FORMER = ClientPolicy(
    platforms=frozenset({Platform.WEB}),
    audiences=("orders",),
    scopes=frozenset({"orders.read"}),
    permissions=frozenset({Permission.TOKENS_ISSUE}),
    signing_algorithm="ES256",
    certificate_thumbprints=frozenset({"ab" * 32}),
    pairing_network=PairingNetworkRule.DENY,
)
MORE: dict[str, list[Any]] = {
    "scheme": [TokenScheme.ROLLING],
    "platforms": [frozenset({Platform.WEB, Platform.API}), frozenset({Platform.API})],
    "audiences": [("orders", "billing"), ("billing",)],
    "scopes": [FORMER.scopes | {"everything"}],
    "protects_audiences": [frozenset({"orders"})],
    "permissions": [FORMER.permissions | {Permission.ADMIN_KEYS}],
    "access_format": [AccessFormat.OPAQUE],
    "access_lifetime": [FORMER.access_lifetime + SECOND],
    "rolling_lifetime": [FORMER.rolling_lifetime + SECOND],
    "lifetimes": [
        {Platform.WEB: replace(WEB, idle=WEB.idle + SECOND)},
        {Platform.WEB: replace(WEB, absolute=WEB.absolute + SECOND)},
        {Platform.WEB: replace(WEB, replay_window=WEB.replay_window + SECOND)},
        {Platform.API: replace(DEFAULT_LIFETIMES[Platform.API], absolute=timedelta(days=31))},
    ],
    "credentials": [frozenset({CredentialKind.PASSWORD})],
    "may_issue_for": [frozenset({"another"})],
    "may_pair_for": [frozenset({"another"})],
    "signing_algorithm": ["EdDSA", "HS256", ""],
    "certificate_thumbprints": [frozenset({"cd" * 32})],
    "pam_direct": [True],
    "pairing_max_auth_age": [FORMER.pairing_max_auth_age + SECOND],
    "pairing_network": [PairingNetworkRule.WARN],
}
"""More than FORMER has, of each field."""
LESS: dict[str, Any] = {
    "platforms": frozenset(),
    "audiences": (),
    "scopes": frozenset(),
    "permissions": frozenset(),
    "access_lifetime": FORMER.access_lifetime - SECOND,
    "rolling_lifetime": FORMER.rolling_lifetime - SECOND,
    "lifetimes": {Platform.WEB: Lifetimes(SECOND, SECOND, SECOND)},
    "certificate_thumbprints": frozenset(),
    "pairing_max_auth_age": timedelta(0),
}


def test_every_field_of_a_policy_has_its_decision() -> None:
    """A new field needs one too, and its cases here: which of its values is the stronger one?"""
    names = {field.name for field in fields(ClientPolicy)}
    assert set(POWER) == names
    assert set(MORE) == names


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in MORE.items() for value in values]
)
def test_whatever_was_not_allowed_before_adds_power(name: str, value: Any) -> None:
    policy = replace(FORMER, **{name: value})
    assert adds_power(policy, FORMER)
    with pytest.raises(TokenServiceError) as refused:
        require_may_change(caller("own", FORMER), client("own", FORMER), policy)
    assert refused.value.reason is Reason.SELF_REVIEW


@pytest.mark.parametrize(("name", "value"), LESS.items())
def test_what_was_taken_away_adds_none(name: str, value: Any) -> None:
    policy = replace(FORMER, **{name: value})
    assert not adds_power(policy, FORMER)
    require_may_change(caller("own", FORMER), client("own", FORMER), policy)


def test_nothing_adds_no_power() -> None:
    assert not adds_power(FORMER, FORMER)
    assert not adds_power(replace(FORMER, audiences=FORMER.audiences[::-1]), FORMER)


def test_lifetimes_are_compared_as_they_work() -> None:
    spelled = replace(FORMER, lifetimes=dict(DEFAULT_LIFETIMES))
    assert not adds_power(spelled, FORMER)
    assert not adds_power(FORMER, spelled)
    short = replace(FORMER, lifetimes={Platform.WEB: Lifetimes(SECOND, SECOND, SECOND)})
    assert adds_power(FORMER, short), "the defaults are longer"
    rolling = replace(FORMER, scheme=TokenScheme.ROLLING)
    assert adds_power(rolling, replace(rolling, lifetimes=dict(DEFAULT_LIFETIMES)))


def test_every_permission_is_administrative_or_a_clients_own() -> None:
    """A new one needs the decision whether it is power over what belongs to others."""
    own = {
        "tokens.issue",
        "tokens.exchange",
        "tokens.validate",
        "tokens.revoke",
        "pairing",
        "codes",
        "trust.watch",
        "sessions.read",
        "clients.register",
    }
    assert set(Permission) - ADMINISTRATIVE == own


def client(client_id: str, policy: ClientPolicy, registered_by: str = "") -> Client:
    return Client(
        client_id=client_id,
        name=client_id,
        contact="",
        state=ClientState.ACTIVE,
        policy=policy,
        valid_rev=0,
        registered_by=registered_by,
        reviewed_by="",
        review_note="",
        created_at=NOW,
        updated_at=NOW,
    )


def caller(client_id: str, policy: ClientPolicy, *, by_token: bool = False) -> Caller:
    return Caller(client_id, policy, by_token=by_token)


def admin(*permissions: Permission, **more: Any) -> ClientPolicy:
    return ClientPolicy(permissions=frozenset({Permission.ADMIN_CLIENTS, *permissions}), **more)


def refusal(rule: Callable[..., None], *arguments: Any) -> Reason | None:
    try:
        rule(*arguments)
    except TokenServiceError as error:
        return error.reason
    return None


@pytest.mark.parametrize("strong", sorted(ADMINISTRATIVE - {Permission.ADMIN_CLIENTS}))
def test_whoever_changes_a_client_is_as_powerful_before_and_after(strong: Permission) -> None:
    weak, stronger = admin(), admin(strong)
    lesser, equal = caller("a", weak), caller("a", stronger)
    missing = Reason.PERMISSION_MISSING
    for have, become in ((stronger, stronger), (stronger, weak), (weak, stronger)):
        assert refusal(require_may_change, lesser, client("other", have), become) is missing
        assert refusal(require_may_change, equal, client("other", have), become) is None
    assert refusal(require_may_change, lesser, client("other", stronger)) is missing
    assert refusal(require_may_change, lesser, client("other", weak)) is None
    asking = client("other", stronger)
    assert refusal(require_may_review, lesser, asking, stronger) is missing
    assert refusal(require_may_review, lesser, asking, weak) is None
    assert refusal(require_may_review, lesser, asking, None) is None


def test_nobody_adds_to_what_it_registered_or_opens_sessions_for() -> None:
    own = caller(
        "a", admin(may_issue_for=frozenset({"issued"}), may_pair_for=frozenset({"paired"}))
    )
    more = replace(FORMER, scopes=FORMER.scopes | {"more"})
    for other in (client("issued", FORMER), client("paired", FORMER), client("c", FORMER, "a")):
        assert refusal(require_may_change, own, other, more) is Reason.SELF_REVIEW
        assert refusal(require_may_change, own, other, FORMER) is None
        assert refusal(require_may_review, own, other, FORMER) is Reason.SELF_REVIEW


def test_a_caller_with_an_access_token_adds_no_certificate() -> None:
    bearer = caller("a", admin(), by_token=True)
    other = client("other", replace(FORMER, certificate_thumbprints=frozenset()))
    assert refusal(require_may_change, bearer, other, FORMER) is Reason.CREDENTIAL_NOT_ALLOWED
    assert refusal(require_may_change, bearer, client("other", FORMER), FORMER) is None
    assert refusal(require_may_change, caller("a", admin()), other, FORMER) is None
    assert refusal(require_may_review, bearer, other, FORMER) is Reason.CREDENTIAL_NOT_ALLOWED
    assert refusal(require_may_review, bearer, client("other", FORMER), FORMER) is None


HOLDINGS = [
    frozenset({Permission.ADMIN_CLIENTS}),
    frozenset({Permission.ADMIN_CLIENTS, Permission.ADMIN_KEYS}),
    frozenset({Permission.ADMIN_CLIENTS, Permission.ADMIN_USERS, Permission.TOKENS_ISSUE}),
    frozenset({Permission.ADMIN_KEYS}),
    frozenset({Permission.TOKENS_ISSUE}),
]
NAMES = "abcde"
POLICIES = st.builds(
    ClientPolicy,
    permissions=st.sampled_from(HOLDINGS),
    scopes=st.frozensets(st.sampled_from("xyz")),
    may_issue_for=st.frozensets(st.sampled_from(NAMES), max_size=2),
    certificate_thumbprints=st.frozensets(st.just("ab" * 32)),
)
STEPS = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.sampled_from(["update", "rotate", "approve"]),
    POLICIES,
)


@dataclass
class Collusion:
    """Clients of which some are in the same hands; each step is one of theirs that is allowed."""

    clients: dict[str, Client]
    controlled: set[str]

    def power(self) -> frozenset[Permission]:
        """All administrative permissions in these hands."""
        held = (self.clients[one].policy.permissions for one in self.controlled)
        return frozenset[Permission]().union(*held) & ADMINISTRATIVE

    def step(self, actor: str, target: str, kind: str, policy: ClientPolicy) -> None:
        own, other = self.clients[actor], self.clients[target]
        calling = caller(actor, own.policy)
        if actor not in self.controlled or not calling.may(Permission.ADMIN_CLIENTS):
            return
        former = own.policy
        if kind == "approve":
            applicant = client(target, policy)  # registered by nobody who can be named
            if refusal(require_may_review, calling, applicant, policy) is None:
                self.clients[f"{target}{len(self.clients)}"] = applicant
                self.controlled.add(f"{target}{len(self.clients) - 1}")
        elif kind == "rotate" and actor != target:
            if refusal(require_may_change, calling, other) is None:
                self.controlled.add(target)
        elif kind == "update":
            if refusal(require_may_change, calling, other, policy) is not None:
                return
            self.clients[target] = replace(other, policy=policy)
            if policy.certificate_thumbprints:
                self.controlled.add(target)
        assert actor != target or not adds_power(self.clients[actor].policy, former)


@settings(max_examples=300)
@given(
    st.permutations(HOLDINGS),
    st.sets(st.sampled_from(NAMES), min_size=1, max_size=2),
    st.lists(STEPS, min_size=4, max_size=12),
)
def test_no_sequence_of_changes_gives_power_that_none_of_them_had(
    holdings: list[frozenset[Permission]],
    hands: set[str],
    steps: list[tuple[str, str, str, ClientPolicy]],
) -> None:
    policies = {
        name: ClientPolicy(permissions=held) for name, held in zip(NAMES, holdings, strict=True)
    }
    clients = {name: client(name, policy) for name, policy in policies.items()}
    world = Collusion(clients, set(hands))
    before = world.power()
    stronger = {
        name: policy
        for name, policy in policies.items()
        if not policy.permissions & ADMINISTRATIVE <= before
    }
    for step in steps:
        world.step(*step)
    assert world.power() <= before
    assert all(world.clients[name].policy == policy for name, policy in stronger.items())
