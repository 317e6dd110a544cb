"""KeyService messages to domain values and back."""

import re

from token_service.domain.errors import invalid_field
from token_service.domain.keys.key import Key
from token_service.domain.kinds import KeyPurpose
from token_service.rpc.mapping import checks
from token_service.rpc.mapping.tokens import timestamp
from tokenservice.v1 import key_service_pb2 as pb

_KID = re.compile(r"[0-9a-f]{8}|[0-9a-f]{16}")


def purpose_filter(message: pb.ListKeysRequest) -> KeyPurpose | None:
    """Check and map a ListKeys' purpose; None for every purpose."""
    return checks.member(message.purpose, "purpose", KeyPurpose, optional=True) or None


def purpose(message: pb.RotateKeyRequest) -> KeyPurpose:
    """Check and map a RotateKey's purpose."""
    return checks.member(message.purpose, "purpose", KeyPurpose)


def kid(value: str) -> str:
    """A key id: required, and of their shape."""
    if _KID.fullmatch(value) is None:
        raise invalid_field("kid", "must be a key id")
    return value


def key_message(key: Key) -> pb.Key:
    """Map a key, without its private half; of the secret which that needs only the id."""
    return pb.Key(
        kid=key.kid,
        purpose=checks.wire(key.purpose),
        algorithm=key.algorithm,
        state=checks.wire(key.state),
        created_at=timestamp(key.created_at),
        activates_at=timestamp(key.activates_at),
        retires_at=timestamp(key.retires_at) if key.retires_at else None,
        compromised_at=timestamp(key.compromised_at) if key.compromised_at else None,
        public_key=key.public_key,
        secret_key_id=key.secret_key_id,
    )
