"""All usable keys, in memory. Nothing here asks a store: the trust follower calls `load`."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

from token_service.adapters.crypto.configured_secrets import SecretKeys, missing_secret
from token_service.adapters.crypto.sealing import seal, unseal
from token_service.adapters.crypto.signing_keys import SYMMETRIC, SigningKey, new_private_half
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.keys.key import VERIFYING, Key
from token_service.domain.keys.schedule import MAC_ALGORITHM, seniority
from token_service.domain.kinds import KeyPurpose, KeyState
from tokenservice.core import TrustKey

_SIGNING_KID_BYTES = 8
_MAC_KID_BYTES = 4

_PUBLISHED = VERIFYING | {KeyState.COMPROMISED}


@dataclass(frozen=True, slots=True)
class MacKey:
    """A mint key, pepper or opaque token key. `key` has 32 bytes."""

    kid: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    """What all keys amount to, replaced as a whole.

    `usable` are the keys that verify, `signers` the newest ACTIVE ones by purpose and algorithm.
    `records` lets the next load recognise what it need not unseal again. `lacking` has the
    configured secret that is missing for a key, which can then be used for nothing.
    """

    signing: Mapping[str, SigningKey] = field(default_factory=dict)
    macs: Mapping[tuple[KeyPurpose, str], MacKey] = field(default_factory=dict)
    signers: Mapping[tuple[KeyPurpose, str], str] = field(default_factory=dict)
    compromised: frozenset[tuple[KeyPurpose, str]] = frozenset()
    lacking: Mapping[tuple[KeyPurpose, str], str] = field(default_factory=dict)
    published: tuple[TrustKey, ...] = ()
    records: Mapping[str, Key] = field(default_factory=dict)


class Keyring:
    """Implements `KeyMaterial`, and hands keys to the makers and checkers of tokens.

    ACTIVE keys sign (the newest one); PENDING, ACTIVE and RETIRING ones verify; RETIRED and
    COMPROMISED ones never do, and their secrets need not be configured any more.

    A key whose secret is not configured here is not published, and whatever needs it raises
    TRUST_STALE: this node can tell nothing of it, and other nodes can.
    """

    def __init__(
        self, secrets: SecretKeys, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._secrets = secrets
        self._random_bytes = random_bytes
        self._limiter_key = cache(secrets.limiter_key)
        self._snapshot = _Snapshot()

    def load(self, keys: Sequence[Key]) -> None:
        """Replace all keys at once.

        Raises ValueError, and keeps the former ones, when a key that verifies is not what its
        record says: it names the key.
        """
        signing: dict[str, SigningKey] = {}
        macs: dict[tuple[KeyPurpose, str], MacKey] = {}
        lacking: dict[tuple[KeyPurpose, str], str] = {}
        for key in keys:
            if key.state not in VERIFYING:
                continue
            if key.secret_key_id not in self._secrets:
                lacking[key.purpose, key.kid] = key.secret_key_id
            elif key.purpose is KeyPurpose.SIGNING:
                signing[key.kid] = self._signing_key(key)
            else:
                macs[key.purpose, key.kid] = self._mac_key(key)
        newest_last = sorted(keys, key=seniority)
        self._snapshot = _Snapshot(
            signing=signing,
            macs=macs,
            signers={
                (key.purpose, key.algorithm): key.kid
                for key in newest_last
                if key.state is KeyState.ACTIVE
            },
            compromised=frozenset(
                (key.purpose, key.kid) for key in keys if key.state is KeyState.COMPROMISED
            ),
            published=tuple(
                _published(key)
                for key in reversed(newest_last)
                if _is_public(key) and (key.purpose, key.kid) not in lacking
            ),
            records={key.kid: key for key in keys},
            lacking=lacking,
        )

    def require_all(self) -> None:
        """Raises ValueError naming a configured secret that is missing."""
        for secret_id in self._snapshot.lacking.values():
            raise ValueError(missing_secret(secret_id))

    def missing_secrets(self) -> frozenset[str]:
        """Name the configured secrets that keys need and this node lacks."""
        return frozenset(self._snapshot.lacking.values())

    def generate(
        self,
        purpose: KeyPurpose,
        algorithm: str,
        state: KeyState,
        now: datetime,
        activates_at: datetime,
    ) -> Key:
        """Make a new key's record, under the newest secret.

        RSA takes up to some seconds: off the event loop. Raises ValueError for an algorithm that
        does not go with the purpose.
        """
        secret_id = self._secrets.newest_id
        if purpose is KeyPurpose.SIGNING:
            kid = self._new_kid(_SIGNING_KID_BYTES)
            private = new_private_half(algorithm, self._random_bytes)
            public = SigningKey(kid, algorithm, private).public_key
            kek = self._secrets.key_encryption_key(secret_id)
            sealed = seal(kek, kid, purpose, private, self._random_bytes)
        else:
            if algorithm != MAC_ALGORITHM:
                raise ValueError(f"keys of purpose {purpose.name} are {MAC_ALGORITHM} keys")
            kid = self._new_kid(_MAC_KID_BYTES)
            self._secrets.mac_key(secret_id, purpose, kid)
            public = sealed = b""
        return Key(
            kid=kid,
            purpose=purpose,
            algorithm=algorithm,
            state=state,
            secret_key_id=secret_id,
            public_key=public,
            sealed_private=sealed,
            created_at=now,
            activates_at=activates_at,
        )

    def public_keys(self) -> tuple[TrustKey, ...]:
        """List what the trust feed publishes, the newest first.

        Signing keys, and without any key material those whose tokens only the server can check.
        """
        return self._snapshot.published

    def signer(self, algorithm: str) -> SigningKey:
        """Get the key that signs with `algorithm`. Raises KEY_STATE when there is none,
        TRUST_STALE."""
        snapshot = self._snapshot
        return snapshot.signing[_active(snapshot, KeyPurpose.SIGNING, algorithm)]

    def signing_key(self, kid: str) -> SigningKey | None:
        """Get a key if it verifies. Raises TRUST_STALE."""
        found = self._snapshot.signing.get(kid)
        if found is None:
            _require(self._snapshot, KeyPurpose.SIGNING, kid)
        return found

    def active_mac_key(self, purpose: KeyPurpose) -> MacKey:
        """Get the key that new tokens are made with. Raises KEY_STATE when there is none,
        TRUST_STALE."""
        snapshot = self._snapshot
        return snapshot.macs[purpose, _active(snapshot, purpose, MAC_ALGORITHM)]

    def limiter_key(self) -> bytes:
        """Derive the key of limiter buckets from the secret of the active pepper.

        All nodes agree on that one, whatever order their secrets have; and counters go on where
        the pepper rotates under the same secret. Raises KEY_STATE and TRUST_STALE.
        """
        pepper = self.active_mac_key(KeyPurpose.PEPPER)
        return self._limiter_key(self._snapshot.records[pepper.kid].secret_key_id)

    def mac_key(self, purpose: KeyPurpose, kid: str) -> MacKey | None:
        """Get a key if it verifies. Raises TRUST_STALE."""
        found = self._snapshot.macs.get((purpose, kid))
        if found is None:
            _require(self._snapshot, purpose, kid)
        return found

    def mac_keys(self, purpose: KeyPurpose) -> tuple[MacKey, ...]:
        """List all keys that verify. Raises TRUST_STALE where one that was used already cannot be
        had: what is not found under the others may be there all the same."""
        snapshot = self._snapshot
        for of, kid in snapshot.lacking:
            if of is purpose and snapshot.records[kid].state is not KeyState.PENDING:
                _require(snapshot, of, kid)
        return tuple(key for (of, _), key in snapshot.macs.items() if of is purpose)

    def is_compromised(self, purpose: KeyPurpose, kid: str) -> bool:
        """Whether the key was declared compromised."""
        return (purpose, kid) in self._snapshot.compromised

    def _signing_key(self, key: Key) -> SigningKey:
        former = self._snapshot.signing.get(key.kid)
        if former is not None and self._same_as_loaded(key):
            return former
        kek = self._secrets.key_encryption_key(key.secret_key_id)
        private = unseal(kek, key.kid, key.purpose, key.sealed_private)
        loaded = SigningKey(key.kid, key.algorithm, private)
        # Validators trust what is published: it must be the sealed half's own.
        if loaded.public_key != key.public_key:
            raise ValueError(f"key {key.kid}: its public half is another key's")
        return loaded

    def _mac_key(self, key: Key) -> MacKey:
        former = self._snapshot.macs.get((key.purpose, key.kid))
        if former is not None and self._same_as_loaded(key):
            return former
        if key.algorithm != MAC_ALGORITHM:
            raise ValueError(f"key {key.kid}: unknown algorithm")
        return MacKey(key.kid, self._secrets.mac_key(key.secret_key_id, key.purpose, key.kid))

    def _same_as_loaded(self, key: Key) -> bool:
        """Whether the key was loaded before with the same material, whatever its state."""
        former = self._snapshot.records.get(key.kid)
        return former is not None and _material(former) == _material(key)

    def _new_kid(self, count: int) -> str:
        known = self._snapshot.records
        while (kid := self._random_bytes(count).hex()) in known:
            pass
        return kid


def _active(snapshot: _Snapshot, purpose: KeyPurpose, algorithm: str) -> str:
    kid = snapshot.signers.get((purpose, algorithm))
    if kid is None:
        raise TokenServiceError(
            Reason.KEY_STATE, f"there is no active {purpose.name.lower()} key for {algorithm}"
        )
    _require(snapshot, purpose, kid)
    return kid


def _require(snapshot: _Snapshot, purpose: KeyPurpose, kid: str) -> None:
    if (purpose, kid) in snapshot.lacking:
        raise TokenServiceError(
            Reason.TRUST_STALE, "this node lacks the secret of a key that is needed"
        )


def _material(key: Key) -> tuple[object, ...]:
    return key.purpose, key.algorithm, key.secret_key_id, key.public_key, key.sealed_private


def _is_public(key: Key) -> bool:
    return key.state in _PUBLISHED and key.purpose in (KeyPurpose.SIGNING, KeyPurpose.OPAQUE)


def _published(key: Key) -> TrustKey:
    server_only = key.purpose is KeyPurpose.OPAQUE or key.algorithm == SYMMETRIC
    public = b"" if server_only else key.public_key
    return TrustKey(key.kid, key.algorithm, public, server_only, key.state)
