"""The checker finds every planted violation, and accepts what may happen."""

from pathlib import Path

import pytest

from tests.histories.checker import check
from tests.histories.history import History
from tests.histories.planted import ACCEPTED, PLANTED
from tests.histories.story import Story


@pytest.mark.parametrize("name", PLANTED)
def test_finds(name: str) -> None:
    promise, write = PLANTED[name]
    story = Story()
    write(story)
    assert {violation.promise for violation in check(story.history)} == {promise}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepts(name: str) -> None:
    story = Story()
    ACCEPTED[name](story)
    assert check(story.history) == []


def test_a_kept_history_is_checked_again(tmp_path: Path) -> None:
    story = Story()
    for _, write in PLANTED.values():
        write(story)
    story.lost(1e6)
    story.audited((1, "session.issue"))
    story.history.save(tmp_path / "kept.jsonl.gz")
    again = History.load(tmp_path / "kept.jsonl.gz")
    assert again == story.history
    assert check(again) == check(story.history) != []
