import os

import pytest

from token_service.adapters.crypto.sealing import seal, unseal
from token_service.domain.kinds import KeyPurpose

KEK = b"k" * 32
KID = "0011223344556677"
PRIVATE = b"a private half"


def sealed() -> bytes:
    return seal(KEK, KID, KeyPurpose.SIGNING, PRIVATE, os.urandom)


def test_round_trip_hides_the_private_half() -> None:
    assert PRIVATE not in sealed()
    assert unseal(KEK, KID, KeyPurpose.SIGNING, sealed()) == PRIVATE


def test_a_nonce_is_drawn_per_seal() -> None:
    assert sealed() != sealed()


@pytest.mark.parametrize(
    ("key", "kid", "purpose"),
    [
        (b"x" * 32, KID, KeyPurpose.SIGNING),
        (KEK, "0011223344556678", KeyPurpose.SIGNING),
        (KEK, KID, KeyPurpose.MINT),
    ],
)
def test_another_key_kid_or_purpose_does_not_open_it(
    key: bytes, kid: str, purpose: KeyPurpose
) -> None:
    with pytest.raises(ValueError, match=f"key {kid}: its sealed half is not authentic"):
        unseal(key, kid, purpose, sealed())


def test_every_flipped_bit_is_noticed() -> None:
    good = sealed()
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match=KID):
            unseal(KEK, KID, KeyPurpose.SIGNING, bytes(bad))


@pytest.mark.parametrize("length", [0, 1, 12, 28, 29, -1])
def test_cut_short_it_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=KID):
        unseal(KEK, KID, KeyPurpose.SIGNING, sealed()[:length])
