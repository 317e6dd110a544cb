"""Codes: one spelling, many ways to type it, and their two minutes."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_service.domain.pairing.decision import UNSCANNED_LIFE
from token_service.domain.pairing.qr_codes import (
    CODES,
    SECRET_BYTES,
    current_number,
    dies_at,
    is_alive,
    read_code,
    show_code,
    shown_from,
    spell_code,
    tag_of,
    tag_of_code,
)

START = datetime(2026, 11, 25, 12, 0, 0, 250_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
secrets = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)


@given(st.uuids(), secrets)
def test_what_is_shown_is_read_however_it_is_typed(pairing_id: UUID, secret: bytes) -> None:
    code = spell_code(pairing_id, secret)
    shown = show_code(code)
    assert len(code) == 18
    assert shown.count("-") == 2
    for typed in (shown, code, shown.lower(), shown.replace("-", " "), shown.replace("0", "O")):
        assert read_code(typed) == code
    assert read_code(code.replace("1", "l")) == code
    assert read_code(code.replace("1", "I")) == code
    assert tag_of_code(code) == tag_of(pairing_id)


@given(secrets, secrets)
def test_different_secrets_have_different_codes(one: bytes, other: bytes) -> None:
    pairing_id = uuid4()
    assert (spell_code(pairing_id, one) == spell_code(pairing_id, other)) == (one == other)


@pytest.mark.parametrize("text", ["", "A" * 17, "A" * 19, "U" * 18, "Ä" * 18, "A" * 17 + "/"])
def test_what_is_no_code(text: str) -> None:
    assert read_code(text) is None


def test_a_code_each_minute_and_two_minutes_for_each() -> None:
    assert CODES == 5
    for number in range(CODES):
        shown = START + timedelta(minutes=number)
        assert shown_from(START, number) == shown
        assert dies_at(START, number) == shown + timedelta(minutes=2)
        assert current_number(START, shown - SECOND / 1000) == max(0, number - 1)
        assert current_number(START, shown) == number
        assert not is_alive(START, number, shown - SECOND / 1000)
        assert is_alive(START, number, shown)
        end = min(dies_at(START, number), START + UNSCANNED_LIFE)
        assert is_alive(START, number, end - SECOND / 1000)
        assert not is_alive(START, number, end)


def test_a_clock_that_is_behind_shows_the_first_and_one_ahead_the_last() -> None:
    assert current_number(START, START - SECOND) == 0
    assert current_number(START, START + timedelta(hours=1)) == CODES - 1


def test_from_the_second_minute_on_two_codes_are_alive() -> None:
    alive = [
        [n for n in range(CODES) if is_alive(START, n, START + timedelta(seconds=at))]
        for at in (0, 59, 60, 119, 120, 240, 299, 300)
    ]
    assert alive == [[0], [0], [0, 1], [0, 1], [1, 2], [3, 4], [3, 4], []]
