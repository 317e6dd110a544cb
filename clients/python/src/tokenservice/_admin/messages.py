"""Protobuf messages of the administrative services to plain values and back.

A value's fields have the names of its message's fields, so one table is all that is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from tokenservice import _messages as messages
from tokenservice._admin import client_values, key_values, trust_values, user_values
from tokenservice._admin.client_values import ClientPolicy
from tokenservice._times import moment_of, span_of
from tokenservice.core import (
    AccessFormat,
    KeyState,
    Platform,
    RevocationReason,
    TokenScheme,
    TrustEffect,
    TrustEntryKind,
)
from tokenservice.v1 import (
    client_policy_pb2,
    client_service_pb2,
    key_service_pb2,
    trust_service_pb2,
    user_service_pb2,
)

if TYPE_CHECKING:
    from enum import IntEnum

Convert: TypeAlias = Callable[[Any], Any]
Field: TypeAlias = Any  # a FieldDescriptor: its two implementations share no type
_CAPITAL: Final = re.compile("[A-Z]")
AnyMessage = TypeVar("AnyMessage", bound=Message)
Value = TypeVar("Value")

VALUES: Final[dict[type[Message], type[Any]]] = {
    client_policy_pb2.ClientPolicy: client_values.ClientPolicy,
    client_policy_pb2.SessionLifetime: client_values.SessionLifetime,
    client_service_pb2.Client: client_values.Client,
    client_service_pb2.CollectClientCredentialsResponse: client_values.ClientCredentials,
    client_service_pb2.DisableClientResponse: client_values.ChangedClient,
    client_service_pb2.RegisterClientResponse: client_values.RegisteredClient,
    client_service_pb2.ReviewClientResponse: client_values.ChangedClient,
    client_service_pb2.RotateClientSecretResponse: client_values.RotatedSecret,
    client_service_pb2.UpdateClientPolicyResponse: client_values.ChangedClient,
    key_service_pb2.CompromiseKeyResponse: key_values.ChangedKey,
    key_service_pb2.Key: key_values.Key,
    trust_service_pb2.TrustDelta: trust_values.FeedDelta,
    trust_service_pb2.TrustEntry: trust_values.FeedEntry,
    trust_service_pb2.TrustHeartbeat: trust_values.FeedHeartbeat,
    trust_service_pb2.TrustKey: trust_values.FeedKey,
    trust_service_pb2.TrustSnapshotChunk: trust_values.FeedSnapshot,
    trust_service_pb2.WatchTrustResponse: trust_values.FeedMessage,
    user_service_pb2.DefineRoleResponse: user_values.ChangedRole,
    user_service_pb2.DeleteUserResponse: user_values.ChangedUser,
    user_service_pb2.DisableUserResponse: user_values.ChangedUser,
    user_service_pb2.LoginAttempts: user_values.LoginAttempts,
    user_service_pb2.Role: user_values.Role,
    user_service_pb2.SetPasswordResponse: user_values.ChangedUser,
    user_service_pb2.SetRolesResponse: user_values.ChangedUser,
    user_service_pb2.User: user_values.User,
}
"""What each message becomes."""

_FIELDS: Final = {
    kind: tuple((one.name, str(one.type).endswith("| None")) for one in fields(kind))
    for kind in VALUES.values()
}
"""The fields of each kind of value, and whether None stands for an absent one."""

ENUMS: Final[dict[str, type[IntEnum]]] = {
    "AccessFormat": AccessFormat,
    "ClientState": client_values.ClientState,
    "KeyPurpose": key_values.KeyPurpose,
    "KeyState": KeyState,
    "PairingNetworkRule": client_values.PairingNetworkRule,
    "Platform": Platform,
    "RevocationReason": RevocationReason,
    "TokenScheme": TokenScheme,
    "TrustEffect": TrustEffect,
    "TrustEntryKind": TrustEntryKind,
    "UserState": user_values.UserState,
}
"""What each enum of ``tokenservice.v1`` becomes; a number that is not known, UNSPECIFIED."""


def value(kind: type[Value], message: Message) -> Value:
    """Read a message."""
    return kind(
        **{
            name: _read(message, name, optional, repeated, plain)
            for name, optional, repeated, plain in _PLANS[type(message)]
        }
    )


def message_of(kind: type[AnyMessage], plain: object) -> AnyMessage:
    """Make the message of a value. Raises TypeError for one text where several are due."""
    descriptors = kind.DESCRIPTOR.fields_by_name
    return kind(
        **{
            name: _written(getattr(plain, name), descriptors[name])
            for name, _ in _FIELDS[type(plain)]
        }
    )


def policy_from_json(text: str) -> ClientPolicy:
    """Read a policy as files have it: protobuf's JSON form, as ``token-service client policy``
    prints it. Raises ValueError for anything else."""
    if not text.lstrip().startswith("{"):  # the parser takes "[]" for a policy without anything
        raise ValueError("a policy is a JSON object")
    try:
        message = json_format.Parse(text, client_policy_pb2.ClientPolicy())
    except json_format.ParseError as error:
        raise ValueError(str(error)) from None
    json.loads(text, object_pairs_hook=_named_once)
    _require_known(message)
    return value(ClientPolicy, message)


def _named_once(members: list[tuple[str, object]]) -> None:
    """Refuse a field in both its spellings: the parser takes the later one."""
    names = [_CAPITAL.sub(lambda found: f"_{found[0].lower()}", name) for name, _ in members]
    if len(set(names)) != len(names):
        raise ValueError(f"a field is there in both its spellings: {', '.join(sorted(names))}")


def _require_known(message: Message) -> None:
    """Refuse numbers of enums that are not known: what was asked for would become the default."""
    for field, found in message.ListFields():
        several = found if field.is_repeated else (found,)
        if field.enum_type is not None:
            strange = sorted(set(several) - set(field.enum_type.values_by_number))
            if strange:
                raise ValueError(f"{field.name}: {strange[0]} is not known")
        elif field.message_type is not None:
            for one in several:
                _require_known(one)


def policy_to_json(policy: ClientPolicy) -> str:
    """Write a policy as :func:`policy_from_json` reads it, all fields."""
    return json_format.MessageToJson(
        message_of(client_policy_pb2.ClientPolicy, policy),
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )


def _plan(kind: type[Message]) -> tuple[tuple[str, bool, bool, Convert | None], ...]:
    """How each field is read: its name, whether None stands for an absent one, whether it has
    several, and what makes a plain value of one, None for what is plain."""
    descriptors = kind.DESCRIPTOR.fields_by_name
    return tuple(
        (name, optional, descriptors[name].is_repeated, _converter(descriptors[name]))
        for name, optional in _FIELDS[VALUES[kind]]
    )


def _converter(field: Field) -> Convert | None:
    if field.enum_type is not None:
        return partial(messages.member, ENUMS[field.enum_type.name])
    if field.message_type is None:
        return None
    if field.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
        return moment_of
    if field.message_type.full_name == Duration.DESCRIPTOR.full_name:
        return span_of
    return partial(value, VALUES[GetMessageClass(field.message_type)])


def _read(
    message: Message, name: str, optional: bool, repeated: bool, plain: Convert | None
) -> Any:  # noqa: ANN401 - of any field
    if optional and not message.HasField(name):
        return None
    found = getattr(message, name)
    if repeated:
        return tuple(found) if plain is None else tuple(map(plain, found))
    return found if plain is None else plain(found)


def _written(plain: Any, field: Field) -> Any:  # noqa: ANN401 - of any field
    if field.is_repeated:
        return [_written_one(one, field) for one in messages.names(plain)]
    return _written_one(plain, field)


def _written_one(plain: Any, field: Field) -> Any:  # noqa: ANN401 - of any field
    if is_dataclass(plain) and field.message_type is not None:
        return message_of(GetMessageClass(field.message_type), plain)
    return plain  # datetime, timedelta and enums among them


_PLANS: Final = {kind: _plan(kind) for kind in VALUES}
