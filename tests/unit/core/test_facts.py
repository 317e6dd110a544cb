import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenservice.core import acr_level, acr_name, acr_satisfies, amr_mask, amr_names
from tokenservice.core.facts import ACR_LEVELS, AMR_METHODS


@pytest.mark.parametrize(
    ("actual", "required", "satisfied"),
    [
        ("aal1", "aal1", True),
        ("aal2", "aal1", True),
        ("aal3", "aal2", True),
        ("aal1", "aal2", False),
        ("", "aal1", False),
        ("gold", "aal1", False),
        ("gold", "gold", True),
        ("aal3", "gold", False),
        ("AAL3", "aal1", False),
    ],
)
def test_levels_are_ranked_and_unknown_ones_compared(
    actual: str, required: str, satisfied: bool
) -> None:
    assert acr_satisfies(actual, required) is satisfied


def test_levels_and_numbers_correspond() -> None:
    assert [acr_level(name) for name in ACR_LEVELS] == [0, 1, 2, 3]
    assert [acr_name(level) for level in range(4)] == list(ACR_LEVELS)
    assert acr_name(4) == acr_name(255) == acr_name(-1) == ""
    with pytest.raises(ValueError, match="not in tuple"):
        acr_level("gold")


@given(st.sets(st.sampled_from(AMR_METHODS)))
def test_methods_survive_the_mask(methods: set[str]) -> None:
    assert set(amr_names(amr_mask(tuple(methods)))) == methods


def test_methods_have_their_documented_bits() -> None:
    assert [amr_mask((name,)) for name in ("pwd", "otp", "app", "xdev")] == [1, 2, 4, 8]
    assert amr_names(0b1111_0001) == ("pwd",)
    with pytest.raises(ValueError, match="not in tuple"):
        amr_mask(("retina",))
