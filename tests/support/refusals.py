"""Requests that are refused before anything is done."""

from collections.abc import Callable

import pytest

from token_service.domain.errors import Reason, TokenServiceError


def refused(call: Callable[[], object]) -> str:
    """The field for which the call is refused."""
    with pytest.raises(TokenServiceError) as error:
        call()
    assert error.value.reason is Reason.FIELD_INVALID
    return error.value.field
