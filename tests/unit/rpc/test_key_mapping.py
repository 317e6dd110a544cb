"""What KeyService accepts, and how it says what it does not."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.refusals import refused
from token_service.domain.keys.key import Key
from token_service.domain.kinds import (
    KeyPurpose,
    KeyState,
)
from token_service.rpc.mapping import keys
from tokenservice.v1 import key_service_pb2 as key_pb
from tokenservice.v1 import types_pb2 as types

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_the_filter_is_optional_and_a_purpose_is_not() -> None:
    assert keys.purpose_filter(key_pb.ListKeysRequest()) is None
    assert refused(lambda: keys.purpose(key_pb.RotateKeyRequest())) == "purpose"


@pytest.mark.parametrize("value", ["", "0A0A0A0A", "0a0a0a0", "0a0a0a0a0a", "g" * 16])
def test_a_key_id_has_its_shape(value: str) -> None:
    assert refused(lambda: keys.kid(value)) == "kid"


def test_a_key_is_shown_without_its_private_half() -> None:
    key = Key(
        kid="00112233aabbccdd",
        purpose=KeyPurpose.SIGNING,
        algorithm="EdDSA",
        state=KeyState.RETIRING,
        secret_key_id="k1-of-the-vault",
        public_key=b"public half",
        sealed_private=b"sealed half",
        created_at=NOW,
        activates_at=NOW,
        retires_at=NOW + timedelta(days=1),
    )
    message = keys.key_message(key)
    assert message.state == types.KEY_STATE_RETIRING
    assert message.public_key == b"public half"
    assert not message.HasField("compromised_at")
    assert message.secret_key_id == "k1-of-the-vault"
    assert b"sealed half" not in message.SerializeToString()
