"""Keys for tests, all made here. No record's secret exists outside the process."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.crypto.keyring import Keyring
from token_service.domain.keys.key import Key
from token_service.domain.keys.schedule import MAC_ALGORITHM
from token_service.domain.kinds import KeyPurpose, KeyState, TokenKind
from tokenservice.core import Facts, OpaqueAccess

ISSUER = "https://tokens.example"
NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
SECRETS = SecretKeys({"one": b"1" * 32})
SUBJECT = "3f0c3e0a-9d0b-4b7e-8a39-0d6e1f0a1b2c"
SESSION = "7d1d9a52-06f5-4d4e-9f43-0f7b6f0f3a11"


@cache
def new_key(
    purpose: KeyPurpose,
    algorithm: str = MAC_ALGORITHM,
    state: KeyState = KeyState.ACTIVE,
    number: int = 0,
) -> Key:
    """A key record; the greater `number`, the newer (and the other key). RSA is slow: cached."""
    at = NOW + timedelta(days=number)
    return Keyring(SECRETS).generate(purpose, algorithm, state, at, at)


def in_state(key: Key, state: KeyState) -> Key:
    return replace(key, state=state)


def loaded(*keys: Key, secrets: SecretKeys = SECRETS) -> Keyring:
    keyring = Keyring(secrets)
    keyring.load(keys)
    return keyring


def one_of_each() -> tuple[Key, ...]:
    return (
        new_key(KeyPurpose.SIGNING, "EdDSA"),
        new_key(KeyPurpose.MINT),
        new_key(KeyPurpose.PEPPER),
        new_key(KeyPurpose.OPAQUE),
    )


def facts(**changes: Any) -> Facts:
    base = Facts(
        kind=TokenKind.ACCESS,
        subject=SUBJECT,
        client_id="web-shop",
        session_id=SESSION,
        device_id="",
        audience="orders",
        scopes=frozenset({"orders.read", "orders.write"}),
        roles=(),
        issued_at=1_800_000_000,
        expires_at=1_800_000_300,
        auth_time=1_799_999_000,
        acr="aal1",
        amr=("pwd",),
        token_id="7d1d9a52.3.0",
        key_id="",
        rev=17,
    )
    return replace(base, **changes)


def access(**changes: Any) -> OpaqueAccess:
    base = OpaqueAccess(
        key_id="",
        session_id=SESSION,
        generation=3,
        audience_index=1,
        scope_mask=2**64 - 1,
        issued_at=1_800_000_000,
        expires_at=1_800_000_300,
        rev=2**63,
        auth_time=1_799_999_000,
        acr=2,
        amr=5,
    )
    return replace(base, **changes)
