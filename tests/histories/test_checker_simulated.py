"""The checker accepts whatever a right service may do, and convicts a wrong one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.histories.checker import check
from tests.histories.simulated import Bug, Simulation

PROMISES = {
    Bug.FORGETS_REVOCATIONS: {"revoked, exchanged", "revoked, accepted"},
    Bug.SERVES_EVERYBODY: {"one presenter"},
    Bug.NEVER_HEARS: {"revoked, accepted"},
    Bug.LOSES_SESSIONS: {"session usable", "revived"},
}


@given(st.integers(0, 2**32))
def test_a_right_service_breaks_no_promise(seed: int) -> None:
    assert check(Simulation(seed).run(150)) == []


@pytest.mark.parametrize("bug", Bug)
def test_a_wrong_service_is_convicted(bug: Bug) -> None:
    for seed in range(5):
        found = {violation.promise for violation in check(Simulation(seed, bug).run(600))}
        assert found & PROMISES[bug]
