"""Secrets of pairings: the same on every node, of use to one side, and not what is kept."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from tests.unit.crypto.builders import in_state, loaded, new_key
from token_service.adapters.crypto.pairing import PepperedPairingSecrets
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import KeyPurpose, KeyState, PairingDirection, PairingState
from token_service.domain.pairing.decision import Pairing, Side
from token_service.domain.pairing.qr_codes import CODES
from token_service.domain.sessions.session import Device
from tokenservice.core import format_opaque, parse_opaque

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
OLD, NEW = new_key(KeyPurpose.PEPPER), new_key(KeyPurpose.PEPPER, number=1)
NODE = PepperedPairingSecrets(loaded(OLD), os.urandom)
SCAN_ID = bytes(range(16))


def pairing() -> tuple[Pairing, str]:
    pairing_id = uuid4()
    secret, hashed, pepper_id = NODE.watch_secret(pairing_id)
    made = Pairing(
        pairing_id=pairing_id,
        direction=PairingDirection.MAP,
        direct=False,
        client_id="shop",
        starter_client="shop",
        pepper_id=pepper_id,
        watch_hash=hashed,
        audiences=(),
        scopes=(),
        starter=Device(),
        started_at=NOW,
        state=PairingState.PENDING,
        ends_at=NOW,
    )
    return made, secret


def scanned() -> tuple[Pairing, str, str]:
    made, watch = pairing()
    secret, hashed = NODE.scan_secret(made.pairing_id, SCAN_ID, made.pepper_id)
    return replace(made, scan_hash=hashed), watch, secret


def test_each_secret_is_its_own_sides_alone() -> None:
    made, watch, scan = scanned()
    assert NODE.matches(made, Side.STARTER, watch)
    assert NODE.matches(made, Side.SCANNER, scan)
    assert not NODE.matches(made, Side.STARTER, scan)
    assert not NODE.matches(made, Side.SCANNER, watch)
    other, other_watch, _ = scanned()
    assert not NODE.matches(made, Side.STARTER, other_watch)
    assert not NODE.matches(other, Side.STARTER, watch)
    assert not NODE.matches(replace(made, scan_hash=b""), Side.SCANNER, scan)


@pytest.mark.parametrize("bad", ["", "tsk_pw_", "nonsense", "tsk_cs_" + "A" * 48])
def test_what_is_no_secret_matches_nothing(bad: str) -> None:
    made, _, _ = scanned()
    assert not NODE.matches(made, Side.STARTER, bad)
    assert not NODE.matches(made, Side.SCANNER, bad)


def test_nothing_that_is_kept_can_be_presented() -> None:
    made, watch, scan = scanned()
    for code, hashed in (("pw", made.watch_hash), ("ps", made.scan_hash)):
        posed = format_opaque(code, hashed)
        assert not NODE.matches(made, Side.STARTER, posed)
        assert not NODE.matches(made, Side.SCANNER, posed)
    relabelled = format_opaque("ps", parse_opaque(watch).payload)
    assert not NODE.matches(made, Side.SCANNER, relabelled)
    assert parse_opaque(scan).payload not in (made.scan_hash, made.watch_hash)


def test_a_scan_gives_the_same_secret_on_every_node_and_after_a_rotation() -> None:
    made, watch, scan = scanned()
    other = PepperedPairingSecrets(loaded(in_state(OLD, KeyState.RETIRING), NEW), bytes)
    assert other.scan_secret(made.pairing_id, SCAN_ID, made.pepper_id)[0] == scan
    assert other.matches(made, Side.STARTER, watch)
    assert other.check_number(made) == NODE.check_number(made)
    for number in range(CODES):
        code = NODE.code(made, watch, number)
        assert other.code(made, watch, number) == code
        assert NODE.code_hash(code, made.pepper_id) in other.code_hashes(code)
    assert other.watch_secret(made.pairing_id)[2] == NEW.kid


def test_scans_and_codes_differ() -> None:
    made, watch = pairing()
    codes = {NODE.code(made, watch, number) for number in range(CODES)}
    scans = {NODE.scan_secret(made.pairing_id, bytes([n] * 16), made.pepper_id) for n in range(9)}
    assert len(codes) == CODES
    assert len({code[:2] for code in codes}) == 1
    assert len(scans) == 9
    again = replace(made, pairing_id=UUID(int=made.pairing_id.int ^ 1))
    assert NODE.code(again, watch, 0) not in codes


def test_check_numbers_are_two_digits_of_any_kind() -> None:
    made, _ = pairing()
    numbers = {NODE.check_number(replace(made, scan_hash=os.urandom(32))) for _ in range(2_000)}
    assert all(len(number) == 2 and number.isdecimal() for number in numbers)
    assert len(numbers) == 100


def test_with_its_pepper_gone_a_pairing_is_gone() -> None:
    made, watch, _ = scanned()
    later = PepperedPairingSecrets(loaded(NEW), os.urandom)
    assert not later.matches(made, Side.STARTER, watch)
    with pytest.raises(TokenServiceError) as refused:
        later.scan_secret(made.pairing_id, SCAN_ID, made.pepper_id)
    assert refused.value.reason is Reason.PAIRING_NOT_FOUND
