"""The configured secrets, and the keys derived from them (HKDF-SHA256, RFC 5869).

`TOKEN_SERVICE_SECRET_KEYS` holds `id:base64url` entries, the newest first, separated by commas or
newlines. The newest derives and seals what is made from now on; the older ones stay for as long
as a live key's record names them. No message from here ever holds any part of a secret.
"""

import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from token_service.domain.kinds import KeyPurpose
from tokenservice.core import MalformedToken
from tokenservice.core.tokens.encoding import decode_base64url, encode_base64url

MIN_SECRET_BYTES = 32
DERIVED_BYTES = 32

_SETTING = "TOKEN_SERVICE_SECRET_KEYS"
_SALT = b"token-service secret keys v1"
# Too short for a secret: one written in the place of the id is refused before it is ever shown.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}")


def missing_secret(secret_id: str) -> str:
    """Tell that a secret is not configured which a key needs."""
    return f"{_SETTING}: the secret '{secret_id}' is missing, a key needs it"


class SecretKeys:
    """Secrets by id, the newest first. Immutable; never shows what it holds."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        """Take `secrets` in order, the newest first; raises ValueError for none."""
        if not secrets:
            raise ValueError(f"{_SETTING}: no secret is configured")
        self._secrets = MappingProxyType(dict(secrets))

    @classmethod
    def parse(cls, text: str) -> "SecretKeys":
        """Read the setting's text. Raises ValueError naming the entry, never its secret."""
        secrets: dict[str, bytes] = {}
        entries = [entry.strip() for entry in re.split(r"[,\n]", text)]
        for number, entry in enumerate(filter(None, entries), start=1):
            secret_id, secret = _parse_entry(entry, number)
            if secret_id in secrets:
                raise ValueError(f"{_SETTING}: the id '{secret_id}' is used twice")
            secrets[secret_id] = secret
        return cls(secrets)

    @staticmethod
    def generate_text(random_bytes: Callable[[int], bytes] = os.urandom) -> str:
        """Make the text of one new entry, for the dev mode. A secret."""
        return f"k{random_bytes(4).hex()}:{encode_base64url(random_bytes(MIN_SECRET_BYTES))}"

    @property
    def newest_id(self) -> str:
        """Name the secret under which new keys are made."""
        return next(iter(self._secrets))

    def __contains__(self, secret_id: str) -> bool:
        """Whether the secret is configured."""
        return secret_id in self._secrets

    @property
    def ids(self) -> tuple[str, ...]:
        """List all ids, the newest first."""
        return tuple(self._secrets)

    def key_encryption_key(self, secret_id: str) -> bytes:
        """Derive what seals private halves (AES-256). Raises ValueError as `mac_key` does."""
        return self._derive(secret_id, b"key encryption")

    def mac_key(self, secret_id: str, purpose: KeyPurpose, kid: str) -> bytes:
        """Derive the mint key, pepper or opaque token key with this kid.

        Raises ValueError naming an id that is missing.
        """
        if purpose not in (KeyPurpose.MINT, KeyPurpose.PEPPER, KeyPurpose.OPAQUE):
            raise ValueError(f"keys of purpose {purpose.name} are not derived")
        return self._derive(secret_id, purpose.name.lower().encode() + b" " + kid.encode("ascii"))

    def cache_keys(self) -> tuple[bytes, ...]:
        """Derive what authenticates data cached elsewhere, the newest secret's first: new data are
        made with that, and what a node with another newest secret made is known by the rest."""
        return tuple(self._derive(secret_id, b"cache") for secret_id in self._secrets)

    def limiter_key(self, secret_id: str) -> bytes:
        """Derive what hides whom limiter buckets count. Raises ValueError as `mac_key` does."""
        return self._derive(secret_id, b"limiter")

    def _derive(self, secret_id: str, info: bytes) -> bytes:
        secret = self._secrets.get(secret_id)
        if secret is None:
            raise ValueError(missing_secret(secret_id))
        # Whoever only checks the settings derives nothing, and goes without the library.
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), DERIVED_BYTES, _SALT, info).derive(secret)

    def __repr__(self) -> str:
        return f"SecretKeys(ids={self.ids!r})"


def _parse_entry(entry: str, number: int) -> tuple[str, bytes]:
    secret_id, colon, text = entry.partition(":")
    if not colon or _ID.fullmatch(secret_id) is None:
        raise ValueError(
            f"{_SETTING}: entry {number} is not 'id:base64url', the id 1 to 16 characters"
        )
    try:
        secret = decode_base64url(text.strip().rstrip("="))
    except MalformedToken:
        raise ValueError(f"{_SETTING}: the secret '{secret_id}' is not base64url") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(
            f"{_SETTING}: the secret '{secret_id}' has {len(secret)} bytes, "
            f"at least {MIN_SECRET_BYTES} are needed"
        )
    return secret_id, secret
