"""Values of the administrative clients: field by field what the messages have."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.message import Message

from tokenservice import (
    AccessFormat,
    Client,
    ClientCredentials,
    ClientPolicy,
    ClientState,
    PairingNetworkRule,
    Platform,
    RegisteredClient,
    RotatedSecret,
    SessionLifetime,
    TokenScheme,
    policy_from_json,
    policy_to_json,
)
from tokenservice._admin.messages import ENUMS, VALUES, message_of, value
from tokenservice.v1 import (
    client_policy_pb2,
    client_service_pb2,
    trust_service_pb2,
    types_pb2,
    user_service_pb2,
)

POLICY = ClientPolicy(
    scheme=TokenScheme.ROLLING,
    platforms=(Platform.WEB, Platform.API),
    audiences=("orders",),
    scopes=("orders.read", "orders.write"),
    protects_audiences=("billing",),
    permissions=("tokens.issue",),
    access_format=AccessFormat.OPAQUE,
    signing_algorithm="ES256",
    access_lifetime=timedelta(seconds=90),
    rolling_lifetime=timedelta(0),
    session_lifetimes=(SessionLifetime(Platform.WEB, idle=timedelta(minutes=5)),),
    may_issue_for=("shop",),
    may_pair_for=("phone",),
    password_login=True,
    certificate_thumbprints=(bytes(32),),
    pam_direct=True,
    pairing_max_auth_age=timedelta(hours=1),
    pairing_network=PairingNetworkRule.DENY,
)


@pytest.mark.parametrize("message", VALUES, ids=lambda one: one.DESCRIPTOR.name)
def test_a_value_has_the_fields_of_its_message(message: type[Message]) -> None:
    ours = {one.name for one in fields(VALUES[message])}
    assert ours == set(message.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize("name", ENUMS)
def test_an_enum_has_the_numbers_of_its_message(name: str) -> None:
    modules: tuple[Any, ...] = (
        client_policy_pb2,
        client_service_pb2,
        trust_service_pb2,
        types_pb2,
        user_service_pb2,
    )
    [descriptor] = [
        module.DESCRIPTOR.enum_types_by_name[name]
        for module in modules
        if name in module.DESCRIPTOR.enum_types_by_name
    ]
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    theirs = {one.name.removeprefix(prefix): one.number for one in descriptor.values}
    assert {one.name: one.value for one in ENUMS[name]} == theirs


def test_policies_there_and_back() -> None:
    message = message_of(client_policy_pb2.ClientPolicy, POLICY)
    assert {field.name for field, _ in message.ListFields()} == set(
        message.DESCRIPTOR.fields_by_name
    )
    assert value(ClientPolicy, message) == POLICY
    assert value(ClientPolicy, client_policy_pb2.ClientPolicy()) == ClientPolicy()


def test_policies_in_files() -> None:
    text = policy_to_json(POLICY)
    assert policy_from_json(text) == POLICY
    assert '"access_lifetime": "90s"' in text
    assert policy_from_json('{"platforms": ["PLATFORM_WEB"]}') == ClientPolicy(
        platforms=(Platform.WEB,)
    )
    for wrong in ("", "[]", '{"platform": []}', '{"platforms": ["WEB"]}'):
        with pytest.raises(ValueError, match=r".+"):
            policy_from_json(wrong)


def test_one_text_is_not_taken_for_several() -> None:
    policy = ClientPolicy(scopes="orders.read")  # type: ignore[arg-type] # what is refused
    with pytest.raises(TypeError, match="several names"):
        message_of(client_policy_pb2.ClientPolicy, policy)


@pytest.mark.parametrize(
    "text",
    [
        '{"scheme": 99}',
        '{"platforms": ["PLATFORM_WEB", 77]}',
        '{"pairing_network": 3}',
        '{"session_lifetimes": [{"platform": -1}]}',
        '{"password_login": false, "passwordLogin": true}',
        '{"session_lifetimes": [{"replayWindow": "1s", "replay_window": "9s"}]}',
    ],
)
def test_a_policy_file_says_nothing_that_is_left_out_or_said_twice(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not known|both its spellings"):
        policy_from_json(text)


def test_times_beyond_the_calendar_are_read_as_its_ends() -> None:
    message = client_service_pb2.Client()
    message.created_at.seconds = 10**15
    message.updated_at.seconds = -(10**15)
    message.policy.access_lifetime.seconds = 10**15
    read = value(Client, message)
    assert (read.created_at.year, read.updated_at.year) == (9999, 1)
    assert read.policy.access_lifetime == timedelta(days=3_652_500)


def test_what_is_absent_or_newer_than_this_package() -> None:
    message = client_service_pb2.Client(client_id="shop", policy=client_policy_pb2.ClientPolicy())
    message.created_at.FromDatetime(datetime(2026, 1, 2, tzinfo=UTC))
    message.state = 99  # type: ignore[assignment] # of a newer server
    client = value(Client, message)
    assert client.created_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert client.secret_created_at is None
    assert client.state is ClientState.UNSPECIFIED


def test_secrets_are_in_no_repr() -> None:
    client = client_service_pb2.Client(policy=client_policy_pb2.ClientPolicy())
    message = client_service_pb2.RotateClientSecretResponse(client_secret="s3cr3t", client=client)
    for shown in (
        value(RotatedSecret, message),
        RegisteredClient("shop", "s3cr3t", ClientState.PENDING),
        ClientCredentials("shop", "s3cr3t"),
    ):
        assert "s3cr3t" not in repr(shown)
        assert "s3cr3t" in {getattr(shown, one.name) for one in fields(shown) if not one.repr}
