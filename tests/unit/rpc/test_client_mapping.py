"""What ClientService accepts, and how it says what it does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from tests.support.refusals import refused
from token_service.domain.clients.client import Client, ClientSecret
from token_service.domain.clients.policy import ClientPolicy, Lifetimes
from token_service.domain.kinds import (
    AccessFormat,
    ClientState,
    CredentialKind,
    PairingNetworkRule,
    Permission,
    Platform,
    TokenScheme,
)
from token_service.rpc.mapping import clients
from token_service.rpc.mapping.client_policy import policy_from, policy_message
from tokenservice.v1 import client_policy_pb2 as policy_pb
from tokenservice.v1 import client_service_pb2 as client_pb
from tokenservice.v1 import types_pb2 as types

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FULL = ClientPolicy(
    scheme=TokenScheme.SESSION_ACCESS,
    platforms=frozenset({Platform.WEB, Platform.API}),
    audiences=("orders", "billing"),
    scopes=frozenset({"orders.read"}),
    protects_audiences=frozenset({"billing"}),
    permissions=frozenset({Permission.TOKENS_ISSUE, Permission.PAIRING}),
    access_format=AccessFormat.OPAQUE,
    access_lifetime=timedelta(minutes=2),
    rolling_lifetime=timedelta(hours=2),
    lifetimes={
        Platform.WEB: Lifetimes(timedelta(hours=1), timedelta(hours=2), timedelta(0)),
    },
    credentials=frozenset({CredentialKind.PASSWORD}),
    may_issue_for=frozenset({"shop"}),
    may_pair_for=frozenset({"phone"}),
    signing_algorithm="ES256",
    certificate_thumbprints=frozenset({"ab" * 32}),
    pam_direct=True,
    pairing_max_auth_age=timedelta(minutes=1),
    pairing_network=PairingNetworkRule.DENY,
)


def test_a_policy_survives_the_way_there_and_back() -> None:
    assert policy_from(policy_message(FULL)) == FULL
    assert policy_from(policy_message(ClientPolicy())) == ClientPolicy()


def test_what_a_policy_leaves_out_has_its_default() -> None:
    assert policy_from(policy_pb.ClientPolicy()) == ClientPolicy()
    message = policy_pb.ClientPolicy(scheme=types.TOKEN_SCHEME_ROLLING)
    lifetime = message.session_lifetimes.add(platform=types.PLATFORM_WEB)
    lifetime.idle.seconds = 3600
    own = policy_from(message).lifetimes[Platform.WEB]
    assert own == Lifetimes(timedelta(hours=1), timedelta(days=180), timedelta(minutes=10))


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("policy.scheme", {"scheme": 9}),
        ("policy.access_format", {"access_format": 9}),
        ("policy.platforms[1]", {"platforms": [1, 9]}),
        ("policy.platforms[0]", {"platforms": [0]}),
        ("policy.audiences[1]", {"audiences": ["a", "b c"]}),
        ("policy.audiences", {"audiences": [str(n) for n in range(33)]}),
        ("policy.scopes[0]", {"scopes": ["nul\0"]}),
        ("policy.scopes[0]", {"scopes": ["s" * 65]}),
        ("policy.protects_audiences[0]", {"protects_audiences": [""]}),
        ("policy.permissions[1]", {"permissions": ["tokens.issue", "tokens.everything"]}),
        ("policy.signing_algorithm", {"signing_algorithm": "none"}),
        ("policy.access_lifetime", {"access_lifetime": Duration(seconds=3601)}),
        ("policy.access_lifetime", {"access_lifetime": Duration(seconds=0)}),
        ("policy.access_lifetime", {"access_lifetime": Duration(seconds=-1)}),
        ("policy.access_lifetime", {"access_lifetime": Duration(seconds=60, nanos=5_000)}),
        ("policy.rolling_lifetime", {"rolling_lifetime": Duration(seconds=1 << 60)}),
        ("policy.may_issue_for[0]", {"may_issue_for": ["Shop"]}),
        ("policy.may_pair_for", {"may_pair_for": [f"c{n}" for n in range(65)]}),
        ("policy.certificate_thumbprints[1]", {"certificate_thumbprints": [b"a" * 32, b"a" * 31]}),
        (
            "policy.certificate_thumbprints",
            {"certificate_thumbprints": [bytes([n]) * 32 for n in range(9)]},
        ),
        (
            "policy.session_lifetimes[1].platform",
            {
                "session_lifetimes": [
                    policy_pb.SessionLifetime(platform=types.PLATFORM_WEB) for _ in range(2)
                ]
            },
        ),
        (
            "policy.session_lifetimes[0].platform",
            {"session_lifetimes": [policy_pb.SessionLifetime()]},
        ),
        (
            "policy.session_lifetimes.idle",
            {
                "session_lifetimes": [
                    policy_pb.SessionLifetime(
                        platform=types.PLATFORM_WEB, idle=Duration(seconds=86_400)
                    )
                ]
            },
        ),
        ("policy.access_format", {"scheme": 2, "access_format": 2}),
    ],
)
def test_a_policy_names_what_is_wrong_with_it(path: str, changes: dict[str, Any]) -> None:
    assert refused(lambda: policy_from(policy_pb.ClientPolicy(**changes))) == path


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("name", {"name": ""}),
        ("name", {"name": " \t"}),
        ("name", {"name": "n" * 129}),
        ("name", {"name": "nul\0"}),
        ("contact", {"contact": ""}),
        ("contact", {"contact": "c" * 257}),
        ("policy.permissions[0]", {"policy": policy_pb.ClientPolicy(permissions=["all"])}),
    ],
)
def test_a_registration_is_checked(path: str, changes: dict[str, Any]) -> None:
    message = client_pb.RegisterClientRequest(name="Shop", contact="shop@example.test")
    message.MergeFrom(client_pb.RegisterClientRequest(**changes))
    for field, value in changes.items():
        if field != "policy":
            setattr(message, field, value)
    assert refused(lambda: clients.registration(message)) == path


def test_a_review_is_one_decision_with_what_goes_with_it() -> None:
    approve = client_pb.ReviewClientRequest(client_id="shop", approve=client_pb.ApproveClient())
    assert clients.review(approve).approve
    assert clients.review(approve).policy is None
    approve.policy.SetInParent()
    assert clients.review(approve).policy == ClientPolicy()
    reject = client_pb.ReviewClientRequest(client_id="shop", reject=client_pb.RejectClient())
    assert not clients.review(reject).approve
    reject.policy.SetInParent()
    assert refused(lambda: clients.review(reject)) == "policy"
    assert refused(lambda: clients.review(client_pb.ReviewClientRequest(client_id="shop"))) == (
        "decision"
    )
    approve.note = "n" * 513
    assert refused(lambda: clients.review(approve)) == "note"
    approve.client_id = "No Such Shape"
    assert refused(lambda: clients.review(approve)) == "client_id"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_id", ""),
        ("client_id", "Ünlikely"),
        ("registration_secret", ""),
        ("registration_secret", "s" * 257),
        ("request_id", ""),
        ("request_id", "r" * 65),
        ("request_id", "naïve"),
        ("request_id", "line\nbreak"),
    ],
)
def test_a_collect_is_checked(field: str, value: str) -> None:
    message = client_pb.CollectClientCredentialsRequest(
        client_id="shop", registration_secret="tsk_rs_x", request_id="4b1c"
    )
    assert clients.collect_request(message).request_id == "4b1c"
    setattr(message, field, value)
    assert refused(lambda: clients.collect_request(message)) == field


def test_a_rotation_overlaps_for_a_day_unless_told_otherwise() -> None:
    message = client_pb.RotateClientSecretRequest(request_id="4b1c")
    assert clients.rotate_request(message).overlap == timedelta(hours=24)
    assert clients.rotate_request(message).client_id == ""
    message.overlap.SetInParent()
    assert clients.rotate_request(message).overlap == timedelta(0)
    message.overlap.seconds = 7 * 86_400
    assert clients.rotate_request(message).overlap == timedelta(days=7)
    message.overlap.nanos = 1_000
    assert refused(lambda: clients.rotate_request(message)) == "overlap"
    message.overlap.seconds = -1
    assert refused(lambda: clients.rotate_request(message)) == "overlap"


def test_a_policy_update_needs_a_policy() -> None:
    message = client_pb.UpdateClientPolicyRequest(client_id="shop")
    assert refused(lambda: clients.new_policy(message)) == "policy"
    message.policy.SetInParent()
    assert clients.new_policy(message) == ClientPolicy()


def test_the_filter_is_optional_and_known() -> None:
    assert clients.state_filter(client_pb.ListClientsRequest()) is None
    active = client_pb.ListClientsRequest(state=client_pb.CLIENT_STATE_ACTIVE)
    assert clients.state_filter(active) is ClientState.ACTIVE
    unknown = client_pb.ListClientsRequest(state=99)  # type: ignore[arg-type]
    assert refused(lambda: clients.state_filter(unknown)) == "state"


def test_a_client_shows_when_its_secrets_end_and_nothing_of_them() -> None:
    def secret(name: bytes, made: timedelta, ends: timedelta | None) -> ClientSecret:
        return ClientSecret(name * 32, "0a", NOW + made, NOW + ends if ends else None, None)

    hour = timedelta(hours=1)
    client = Client(
        client_id="shop",
        name="Shop",
        contact="shop@example.test",
        state=ClientState.ACTIVE,
        policy=FULL,
        valid_rev=3,
        registered_by="",
        reviewed_by="root",
        review_note="fine",
        created_at=NOW,
        updated_at=NOW,
        secrets=(
            secret(b"a", -hour, 2 * hour),
            secret(b"b", timedelta(0), None),
            secret(b"c", -3 * hour, -hour),
        ),
        registration_hash=b"r" * 32,
        registration_pepper="0a",
    )
    message = clients.client_message(client, NOW)
    assert message.secret_created_at.ToDatetime(UTC) == NOW
    assert message.old_secret_expires_at.ToDatetime(UTC) == NOW + 2 * hour
    assert policy_from(message.policy) == FULL
    later = clients.client_message(client, NOW + 2 * hour)
    assert not later.HasField("old_secret_expires_at")
    bare = clients.client_message(replace(client, secrets=()), NOW)
    assert not bare.HasField("secret_created_at")
    for kept in (b"a" * 32, b"b" * 32, b"r" * 32):
        assert kept not in message.SerializeToString()
