"""The secrets of pairings: derived under a pepper, so that only keyed hashes need be kept."""

import hmac
from collections.abc import Callable
from uuid import UUID

from token_service.adapters.crypto.client_secrets import keyed
from token_service.adapters.crypto.keyring import Keyring, MacKey
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import KeyPurpose
from token_service.domain.pairing.decision import Pairing, Side
from token_service.domain.pairing.qr_codes import SECRET_BYTES, spell_code
from tokenservice.core import MalformedToken, format_opaque, parse_opaque
from tokenservice.core.tokens.opaque import (
    SCAN_SECRET_CODE,
    SECRET_PAYLOAD_LENGTH,
    WATCH_SECRET_CODE,
)

_CODE_OF_SIDE = {Side.STARTER: WATCH_SECRET_CODE, Side.SCANNER: SCAN_SECRET_CODE}
_CHECK_NUMBERS = 100

# Uses of the pepper, apart from each other and from those of other secrets: what is at rest for
# one is good for none of the others.
_SCAN = b"pairing scan secret"
_SECRET_HASH = b"pairing secret hash"
_CODE = b"pairing code"
_CODE_HASH = b"pairing code hash"
_CHECK_NUMBER = b"pairing check number"


class PepperedPairingSecrets:
    """Implements `PairingSecrets`.

    Codes follow from the watch secret, scan secrets from the scan's id, check numbers from both:
    nothing but the pepper is needed to give the same answer on another node.
    """

    def __init__(self, keyring: Keyring, random_bytes: Callable[[int], bytes]) -> None:
        self._keyring = keyring
        self._random_bytes = random_bytes

    def watch_secret(self, pairing_id: UUID) -> tuple[str, bytes, str]:
        """Make (secret, hash, pepper id). Raises KEY_STATE when no pepper is active."""
        pepper = self._keyring.active_mac_key(KeyPurpose.PEPPER)
        payload = self._random_bytes(SECRET_PAYLOAD_LENGTH)
        hashed = _secret_hash(pepper, Side.STARTER, pairing_id, payload)
        return format_opaque(WATCH_SECRET_CODE, payload), hashed, pepper.kid

    def scan_secret(self, pairing_id: UUID, scan_id: bytes, pepper_id: str) -> tuple[str, bytes]:
        """Make (secret, hash). Raises PAIRING_NOT_FOUND for a pepper that is not known."""
        pepper = self._pepper(pepper_id)
        payload = keyed(pepper.key, _SCAN, pairing_id.bytes, scan_id)
        hashed = _secret_hash(pepper, Side.SCANNER, pairing_id, payload)
        return format_opaque(SCAN_SECRET_CODE, payload), hashed

    def matches(self, pairing: Pairing, side: Side, secret: str) -> bool:
        """Compare in constant time; False for anything malformed."""
        expected = pairing.watch_hash if side is Side.STARTER else pairing.scan_hash
        pepper = self._keyring.mac_key(KeyPurpose.PEPPER, pairing.pepper_id)
        if not expected or pepper is None:
            return False
        try:
            opaque = parse_opaque(secret)
        except MalformedToken:
            return False
        if opaque.code != _CODE_OF_SIDE[side]:
            return False
        presented = _secret_hash(pepper, side, pairing.pairing_id, opaque.payload)
        return hmac.compare_digest(presented, expected)

    def code(self, pairing: Pairing, watch_secret: str, number: int) -> str:
        """Derive a code. Raises MalformedToken, PAIRING_NOT_FOUND as `scan_secret`."""
        payload = parse_opaque(watch_secret).payload
        pepper = self._pepper(pairing.pepper_id)
        derived = keyed(pepper.key, _CODE, pairing.pairing_id.bytes, payload, bytes([number]))
        return spell_code(pairing.pairing_id, derived[:SECRET_BYTES])

    def code_hash(self, code: str, pepper_id: str) -> bytes:
        """Hash a canonical code."""
        return keyed(self._pepper(pepper_id).key, _CODE_HASH, code.encode())

    def code_hashes(self, code: str) -> tuple[bytes, ...]:
        """Hash a canonical code under each pepper that is known."""
        peppers = self._keyring.mac_keys(KeyPurpose.PEPPER)
        return tuple(keyed(pepper.key, _CODE_HASH, code.encode()) for pepper in peppers)

    def check_number(self, pairing: Pairing) -> str:
        """Derive two digits of the scan."""
        pepper = self._pepper(pairing.pepper_id)
        derived = keyed(pepper.key, _CHECK_NUMBER, pairing.pairing_id.bytes, pairing.scan_hash)
        return f"{int.from_bytes(derived, 'big') % _CHECK_NUMBERS:02}"

    def _pepper(self, pepper_id: str) -> MacKey:
        pepper = self._keyring.mac_key(KeyPurpose.PEPPER, pepper_id)
        if pepper is None:
            raise TokenServiceError(Reason.PAIRING_NOT_FOUND, "there is no such pairing")
        return pepper


def _secret_hash(pepper: MacKey, side: Side, pairing_id: UUID, payload: bytes) -> bytes:
    return keyed(pepper.key, _SECRET_HASH, side.name.encode(), pairing_id.bytes, payload)
