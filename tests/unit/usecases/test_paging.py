"""Pages of lists that are read as a whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_service.domain.errors import Reason, TokenServiceError
from token_service.usecases.paging import page_of


def walk(items: list[str], size: int) -> list[str]:
    seen: list[str] = []
    token = ""
    while True:
        page, token = page_of(items, str, size, token)
        assert len(page) <= size
        seen += page
        if not token:
            return seen


@given(st.lists(st.text(min_size=1), unique=True).map(sorted), st.integers(1, 7))
def test_pages_together_are_the_whole_list(items: list[str], size: int) -> None:
    assert walk(items, size) == items


def test_what_comes_and_goes_between_pages_shifts_nothing() -> None:
    page, token = page_of(["a", "c", "e"], str, 2, "")
    assert page == ("a", "c")
    page, token = page_of(["b", "d", "e"], str, 2, token)
    assert page == ("d", "e")
    assert token == ""


@pytest.mark.parametrize("token", ["%", "a", "ü", "_w", "=="])
def test_a_token_of_nobodys_is_refused(token: str) -> None:
    with pytest.raises(TokenServiceError) as refused:
        page_of(["a"], str, 1, token)
    assert refused.value.reason is Reason.FIELD_INVALID
    assert refused.value.field == "page_token"
