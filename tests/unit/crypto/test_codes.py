"""How one-time codes are drawn and hashed."""

from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from tests.unit.crypto.builders import in_state, loaded, new_key
from token_service.adapters.crypto.client_secrets import PepperedSecrets
from token_service.adapters.crypto.codes import PepperedCodes
from token_service.domain.codes.text import DIGITS, UNAMBIGUOUS
from token_service.domain.errors import TokenServiceError
from token_service.domain.kinds import CodeKind, KeyPurpose, KeyState

PEPPER, NEWER = new_key(KeyPurpose.PEPPER), new_key(KeyPurpose.PEPPER, number=1)
CODES = PepperedCodes(loaded(PEPPER))
PLACE: dict[str, Any] = {
    "kind": CodeKind.VERIFICATION,
    "client_id": "shop",
    "purpose": "signup",
    "recipient": "ana",
    "text": "123456",
    "pepper_id": PEPPER.kid,
}


def draw(number: int, length: int, alphabet: str, client: str = "shop") -> str:
    made = CODES.draw(client, UUID(int=number), length, alphabet, PEPPER.kid)
    assert made is not None
    return made


def test_a_code_is_the_same_each_time_and_different_for_each_id_and_client() -> None:
    assert draw(1, 16, UNAMBIGUOUS) == draw(1, 16, UNAMBIGUOUS)
    others = {draw(n, 16, UNAMBIGUOUS, client) for n in range(50) for client in ("shop", "bank")}
    assert len(others) == 100


@pytest.mark.parametrize("alphabet", [DIGITS, UNAMBIGUOUS, "abcdefg"])
def test_every_character_is_as_likely_at_every_place(alphabet: str) -> None:
    drawn = [draw(number, 12, alphabet) for number in range(3_000)]
    expected = len(drawn) / len(alphabet)
    for place in zip(*drawn, strict=True):
        counted = Counter(place)
        assert set(counted) == set(alphabet)
        # Six standard deviations: what is drawn never changes, so neither does this.
        assert max(abs(counted[one] - expected) for one in alphabet) < 6 * expected**0.5


def test_long_codes_go_beyond_one_block() -> None:
    long = draw(1, 64, UNAMBIGUOUS)
    assert len(long) == 64
    assert long[:32] != long[32:]


def test_a_code_outlives_the_rotation_of_its_pepper_but_not_its_compromise() -> None:
    made = CODES.draw("shop", UUID(int=1), 12, UNAMBIGUOUS, PEPPER.kid)
    rotated = PepperedCodes(loaded(in_state(PEPPER, KeyState.RETIRING), NEWER))
    assert rotated.active_pepper() == NEWER.kid
    assert rotated.draw("shop", UUID(int=1), 12, UNAMBIGUOUS, PEPPER.kid) == made
    assert rotated.draw("shop", UUID(int=1), 12, UNAMBIGUOUS, NEWER.kid) != made
    compromised = PepperedCodes(loaded(in_state(PEPPER, KeyState.COMPROMISED), NEWER))
    assert compromised.draw("shop", UUID(int=1), 12, UNAMBIGUOUS, PEPPER.kid) is None
    with pytest.raises(KeyError):
        compromised.hash(**PLACE)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": CodeKind.COUPON},
        {"kind": CodeKind.INVITATION},
        {"client_id": "bank"},
        {"purpose": "login"},
        {"recipient": "bob"},
        {"text": "123457"},
        {"purpose": "signupana", "recipient": ""},
    ],
)
def test_a_hash_is_of_one_code_at_one_place(changes: dict[str, Any]) -> None:
    assert CODES.hash(**{**PLACE, **changes}) != CODES.hash(**PLACE)


def test_coupons_have_the_same_hash_for_everybody() -> None:
    coupon = {**PLACE, "kind": CodeKind.COUPON}
    assert CODES.hash(**coupon) == CODES.hash(**{**coupon, "recipient": ""})


def test_a_presented_code_is_tried_as_each_kind_under_each_pepper() -> None:
    rotated = PepperedCodes(loaded(in_state(PEPPER, KeyState.RETIRING), NEWER))
    expected = {
        rotated.hash(**{**PLACE, "kind": kind, "pepper_id": pepper.kid})
        for kind in (CodeKind.COUPON, CodeKind.INVITATION, CodeKind.VERIFICATION)
        for pepper in (PEPPER, NEWER)
    }
    tried = rotated.hashes("shop", "signup", "ana", "123456")
    assert set(tried) == expected
    assert len(tried) == 6
    without = rotated.hashes("shop", "signup", "", "123456")
    assert len(without) == 4, "a verification code without its recipient is none"


def test_nothing_made_with_a_pepper_is_anything_else() -> None:
    secrets = PepperedSecrets(loaded(PEPPER))
    made = [secrets.make("cs", b"123456")[1], secrets.make("rs", b"123456")[1]]
    assert CODES.hash(**PLACE) not in made


def test_without_an_active_pepper_no_code_is_made() -> None:
    with pytest.raises(TokenServiceError):
        PepperedCodes(loaded()).active_pepper()
