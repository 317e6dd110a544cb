"""Fingerprints of exchanges: what they tell apart, and that both generations of nodes agree."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.domain.builders import EXCHANGE_ID, LOOKUP
from token_service.domain.sessions.exchange_fingerprint import (
    Purpose,
    fingerprint,
    former_fingerprint,
)

TOKEN = (Purpose.EXCHANGE, EXCHANGE_ID, LOOKUP, 1, "c")
OTHERS = {
    "purpose": (Purpose.REAUTHENTICATE, EXCHANGE_ID, LOOKUP, 1, "c"),
    "id": (Purpose.EXCHANGE, bytes(16), LOOKUP, 1, "c"),
    "generation": (Purpose.EXCHANGE, EXCHANGE_ID, LOOKUP, 2, "c"),
    "client": (Purpose.EXCHANGE, EXCHANGE_ID, LOOKUP, 1, "d"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_they_depend_on_purpose_id_token_and_client(
    other: tuple[Purpose, bytes, UUID, int, str],
) -> None:
    assert fingerprint(*other) != fingerprint(*TOKEN)
    assert former_fingerprint(*other, audiences=(), scopes=()) != former_fingerprint(
        *TOKEN, audiences=(), scopes=()
    )


def test_there_is_none_without_an_id() -> None:
    nameless = (Purpose.EXCHANGE, b"", LOOKUP, 1, "c")
    assert fingerprint(*nameless) is None
    assert former_fingerprint(*nameless, audiences=(), scopes=()) is None


def test_rows_of_both_versions_keep_their_meaning() -> None:
    """Whoever changes these loses the replays that are under way during an upgrade."""
    assert fingerprint(*TOKEN) == bytes.fromhex(
        "3bab51e197fe5899bf775f34a41ab8f197e2139c8e1b74db49c80da1314ebe0a"
    )
    former = former_fingerprint(*TOKEN, audiences=("orders", "billing"), scopes=("b", "a"))
    assert former == bytes.fromhex(
        "867281bd1deb0ac053eafb0477c1dd297ac90d703ec9111cebcaa441af9edfe9"
    )


names = st.lists(st.sampled_from(["a", "b", "a b", "a\0b", ""]), max_size=3)


@given(names, names, names, names)
def test_the_former_one_tells_audience_and_scope_sets_apart(
    audiences: list[str],
    scopes: list[str],
    other_audiences: list[str],
    other_scopes: list[str],
) -> None:
    one = former_fingerprint(*TOKEN, audiences=audiences, scopes=scopes)
    two = former_fingerprint(*TOKEN, audiences=other_audiences, scopes=other_scopes)
    joined = "\0".join
    same = (joined(sorted(set(audiences))), joined(sorted(set(scopes)))) == (
        joined(sorted(set(other_audiences))),
        joined(sorted(set(other_scopes))),
    )
    assert (one == two) is same
