"""What UserService accepts, and how it says what it does not."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from tests.support.refusals import refused
from token_service.domain.users.user import User
from token_service.rpc.mapping import users
from tokenservice.v1 import user_service_pb2 as user_pb

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("username", {"username": ""}),
        ("username", {"username": "two words"}),
        ("username", {"username": "a\0b"}),
        ("username", {"username": "u" * 129}),
        ("password", {"password": "short"}),
        ("password", {"password": "p" * 1025}),
        ("roles", {"roles": [f"r{n}" for n in range(17)]}),
        ("roles[1]", {"roles": ["sales", "Sales"]}),
    ],
)
def test_a_new_user_is_checked(path: str, changes: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"username": "alice", "password": "long enough", **changes}
    assert refused(lambda: users.new_user(user_pb.CreateUserRequest(**fields))) == path


def test_a_user_name_is_canonical_before_anything_else_sees_it() -> None:
    message = user_pb.CreateUserRequest(username="\uff21LICE", password="long enough")
    assert users.new_user(message).username == "alice"
    assert "long enough" not in repr(users.new_user(message))


@pytest.mark.parametrize(
    "value",
    ["", "me", "0A0A0A0A-0000-4000-8000-000000000000", "0a0a0a0a000040008000000000000000"],
)
def test_a_user_id_is_a_uuid_in_one_spelling(value: str) -> None:
    assert refused(lambda: users.user_id(value)) == "user_id"


@pytest.mark.parametrize("value", ["", "Sales", "a b", "-a", "r" * 49, "nul\0"])
def test_a_role_name_has_its_shape(value: str) -> None:
    assert refused(lambda: users.role_name(value)) == "role"


def test_a_user_is_shown_without_anything_of_the_password() -> None:
    user = User(
        user_id=UUID(int=7),
        username="alice",
        password_hash="$argon2id$secret",
        credential_version=4,
        roles=("sales", "accounting"),
        scopes=frozenset({"orders.read"}),
        version=5,
        disabled_at=None,
        valid_rev=6,
        created_at=NOW,
        updated_at=NOW,
    )
    message = users.user_message(user)
    assert message.state == user_pb.USER_STATE_ACTIVE
    assert list(message.roles) == ["accounting", "sales"]
    assert b"argon2id" not in message.SerializeToString()
    disabled = users.user_message(replace(user, disabled_at=NOW))
    assert disabled.state == user_pb.USER_STATE_DISABLED
    assert disabled.disabled_at.ToDatetime(UTC) == NOW
