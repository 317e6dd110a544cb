"""One-time codes: drawn from their ids under a pepper, kept only as keyed hashes."""

from collections.abc import Iterator
from itertools import count
from uuid import UUID

from token_service.adapters.crypto.client_secrets import HASH, MAKE, keyed
from token_service.adapters.crypto.keyring import Keyring
from token_service.domain.kinds import CodeKind, KeyPurpose

_CODE = b"code"
_KINDS = (CodeKind.COUPON, CodeKind.INVITATION, CodeKind.VERIFICATION)


class PepperedCodes:
    """Implements `CodeSecrets`.

    A hash is HMAC-SHA256 under a pepper with kind, client and purpose in the input; with the
    recipient too for verification codes, which are so short that many have the same one.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def active_pepper(self) -> str:
        """Name the pepper of new codes. Raises KEY_STATE for none."""
        return self._keyring.active_mac_key(KeyPurpose.PEPPER).kid

    def draw(
        self, client_id: str, code_id: UUID, length: int, alphabet: str, pepper_id: str
    ) -> str | None:
        """Derive the code with this id; None when the pepper is not known (any more).

        The id is random, so no two codes have anything to do with each other.
        """
        pepper = self._keyring.mac_key(KeyPurpose.PEPPER, pepper_id)
        if pepper is None:
            return None
        numbers = _evenly(pepper.key, client_id, code_id, len(alphabet))
        return "".join(alphabet[next(numbers)] for _ in range(length))

    def hash(
        self,
        kind: CodeKind,
        client_id: str,
        *,
        purpose: str,
        recipient: str,
        text: str,
        pepper_id: str,
    ) -> bytes:
        """Hash a canonical code. Raises KeyError for a pepper that is not known."""
        pepper = self._keyring.mac_key(KeyPurpose.PEPPER, pepper_id)
        if pepper is None:
            raise KeyError(pepper_id)
        return _hash(
            pepper.key, kind, client_id=client_id, purpose=purpose, recipient=recipient, text=text
        )

    def hashes(self, client_id: str, purpose: str, recipient: str, text: str) -> tuple[bytes, ...]:
        """Hash a canonical code as each kind, under each pepper that verifies."""
        return tuple(
            _hash(
                pepper.key,
                kind,
                client_id=client_id,
                purpose=purpose,
                recipient=recipient,
                text=text,
            )
            for pepper in self._keyring.mac_keys(KeyPurpose.PEPPER)
            for kind in _KINDS
            if recipient or kind is not CodeKind.VERIFICATION
        )


def _hash(
    pepper: bytes, kind: CodeKind, *, client_id: str, purpose: str, recipient: str, text: str
) -> bytes:
    bound = recipient if kind is CodeKind.VERIFICATION else ""
    return keyed(
        pepper,
        HASH,
        _CODE,
        bytes((kind,)),
        client_id.encode(),
        purpose.encode(),
        bound.encode(),
        text.encode(),
    )


def _evenly(pepper: bytes, client_id: str, code_id: UUID, choices: int) -> Iterator[int]:
    """An endless row of numbers below `choices` (at most 256), each equally likely."""
    fair = 256 - 256 % choices
    for block in count():
        made = keyed(
            pepper, MAKE, _CODE, client_id.encode(), code_id.bytes, block.to_bytes(4, "big")
        )
        yield from (byte % choices for byte in made if byte < fair)
