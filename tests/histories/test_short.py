"""A few faults, for a few seconds each: two nodes keep every promise, and the checker sees it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.histories import recorded
from tests.histories.faults import IN_TESTS, NEMESES, SHORT
from tests.histories.faults.nodes import NothingBreaks
from tests.histories.ground import Ground
from tests.histories.run import run
from tests.histories.workload.load import Volume

SMALL = Volume(holders=4, people=1, remotes=1, pause=0.02)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ground(open_dir: Path) -> AsyncIterator[Ground]:
    folder = open_dir / "histories"
    folder.mkdir()
    folder.chmod(0o711)
    one = Ground(folder)
    yield one
    await one.close()


@pytest.mark.parametrize("name", IN_TESTS)
async def test_every_promise_is_kept(name: str, ground: Ground, tmp_path: Path) -> None:
    nemesis = next(one for one in NEMESES if one.name == name)
    result = await run(nemesis(), ground, 1, kept=tmp_path, volume=SMALL, times=0.25, patient=False)
    assert result.failed == ""
    assert result.violations == []
    assert result.tracebacks == 0
    assert result.effect
    assert {"issue", "exchange", "validate", "revoke", "redeem_code"} <= set(result.kinds)


class Forgetful(NothingBreaks):
    """One node of two forgets what was revoked."""

    modules = ("tests.histories.forgetful", "token_service")


async def test_a_node_that_forgets_is_convicted(ground: Ground, tmp_path: Path) -> None:
    result = await run(
        Forgetful(), ground, 1, kept=tmp_path, volume=SMALL, times=0.25, patient=False
    )
    assert {violation.partition(":")[0] for violation in result.violations} == {"revoked, accepted"}


def test_every_fault_has_a_name_of_its_own() -> None:
    names = [nemesis.name for nemesis in NEMESES]
    assert len(set(names)) == len(names)
    assert {*SHORT, *IN_TESTS} <= set(names)


def test_the_document_shows_what_was_recorded() -> None:
    text = recorded.DOCUMENT.read_text()
    assert recorded.with_tables(text, recorded.read()) == text
