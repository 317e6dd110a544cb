"""The domain's names for what tokens carry as numbers."""

import pytest

from token_service.domain.kinds import Amr
from tokenservice.core import amr_names
from tokenservice.core.facts import AMR_METHODS


@pytest.mark.parametrize("flag", Amr)
def test_each_authentication_method_is_spelled_as_it_is_named(flag: Amr) -> None:
    assert flag.name is not None
    assert amr_names(flag) == (flag.name.lower(),)


def test_no_authentication_method_is_missing() -> None:
    assert len(Amr) == len(AMR_METHODS)
