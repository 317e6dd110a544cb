"""Ids of new clients."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_service.domain.clients.ids import RANDOM_BYTES, new_client_id
from token_service.domain.clients.policy_rules import is_client_id

RANDOM = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@given(name=st.text(max_size=200), random=RANDOM)
def test_every_name_gives_an_id(name: str, random: bytes) -> None:
    assert is_client_id(new_client_id(name, random))


@given(one=RANDOM, other=RANDOM)
def test_other_randomness_gives_another_id(one: bytes, other: bytes) -> None:
    same = new_client_id("Shop", one) == new_client_id("Shop", other)
    assert same is (one == other)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Orders Web Shop", "orders-web-shop"),
        ("  Café -- Zürich!  ", "cafe-zurich"),
        ("注文", "client"),
        ("", "client"),
        ("demo-admin", "demo-admin"),
        ("x" * 300, "x" * 40),
    ],
)
def test_an_id_tells_the_name(name: str, stem: str) -> None:
    drawn = new_client_id(name, b"\0\1\2\3\4")
    assert drawn.rpartition("-")[0] == stem
    assert len(drawn.rpartition("-")[2]) == 8


def test_too_little_randomness_is_refused() -> None:
    with pytest.raises(ValueError, match="random"):
        new_client_id("Shop", b"\0")
