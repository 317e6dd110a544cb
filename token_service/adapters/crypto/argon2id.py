"""Argon2id (RFC 9106): hashes of passwords, and checks against them. Costly by design."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

MIN_MEMORY_KIB = 19 * 1024
MIN_PASSES = 2
MIN_LANES = 1

_SALT_BYTES = 16
_HASH_BYTES = 32
_PREFIX = "$argon2id$"


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What one hash costs: memory in KiB, passes over it (t), lanes (p).

    Raises ValueError below 19 MiB, 2 passes, 1 lane (OWASP's minimum).
    """

    memory_kib: int = MIN_MEMORY_KIB
    passes: int = MIN_PASSES
    lanes: int = MIN_LANES

    def __post_init__(self) -> None:
        if self.memory_kib < MIN_MEMORY_KIB:
            raise ValueError(f"argon2: at least {MIN_MEMORY_KIB} KiB of memory are needed")
        if self.passes < MIN_PASSES:
            raise ValueError(f"argon2: at least {MIN_PASSES} passes are needed")
        if self.lanes < MIN_LANES:
            raise ValueError(f"argon2: at least {MIN_LANES} lane is needed")


class Argon2id:
    """Hashes with one cost. Every call but `outdated` keeps its thread busy for that long."""

    def __init__(self, cost: Argon2Cost, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._argon2 = PasswordHasher(
            time_cost=cost.passes,
            memory_cost=cost.memory_kib,
            parallelism=cost.lanes,
            hash_len=_HASH_BYTES,
            salt_len=_SALT_BYTES,
            type=Type.ID,
        )
        self._random_bytes = random_bytes
        self._nobody = ""

    def hash(self, password: str) -> str:
        """Make a new hash, in the encoded form that names its parameters."""
        return self._argon2.hash(password, salt=self._random_bytes(_SALT_BYTES))

    def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is the one.

        None as the hash (unknown user), and one that is not of Argon2id, take the time of a check
        and are False.
        """
        if password_hash is not None and password_hash.startswith(_PREFIX):
            return self._matches(password, password_hash)
        self._matches(password, self.nobody)
        return False

    @property
    def nobody(self) -> str:
        """The hash of nobody's password, against which unknown users are checked."""
        self._nobody = self._nobody or self.hash(self._random_bytes(_HASH_BYTES).hex())
        return self._nobody

    def outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than those of today."""
        try:
            return self._argon2.check_needs_rehash(password_hash)
        except InvalidHashError:
            return True

    def _matches(self, password: str, password_hash: str) -> bool:
        try:
            return self._argon2.verify(password_hash, password)
        except VerificationError:
            return False
