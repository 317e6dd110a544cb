"""What a reading of the trust log calls for, by what a node remembers."""

from dataclasses import replace

import pytest

from token_service.domain.trust.reading import Lineage, TrustReading
from token_service.domain.trust.succession import JUMP, Ended, Memory, Step, judge

HERE, PROMOTED = Lineage(7, 1), Lineage(7, 2)
READING = TrustReading(
    epoch="e1",
    revision=100,
    valid_rev=0,
    config_version=5,
    keys_version=3,
    entries=(),
    since_revision=100,
    db_time=1000.0,
    sent_boot=10.0,
    received_boot=10.1,
    beat=50,
    beaten_boot=9.5,
    synchronous=True,
    server=HERE,
    recorded=HERE,
)
MEMORY = Memory(epoch="e1", revision=100, beat=50)


def step(
    reading: TrustReading = READING, memory: Memory | None = MEMORY, ended: Ended | None = None
) -> Step:
    return judge(memory, reading, ended).step


@pytest.mark.parametrize("memory", [None, MEMORY, replace(MEMORY, revision=99, beat=49)])
def test_the_server_of_before_is_read_on(memory: Memory | None) -> None:
    assert step(memory=memory) is Step.NOTHING


@pytest.mark.parametrize("memory", [None, MEMORY])
@pytest.mark.parametrize("recorded", [Lineage(), Lineage(7), Lineage(None, 1)])
def test_what_was_never_recorded_is(memory: Memory | None, recorded: Lineage) -> None:
    assert step(replace(READING, recorded=recorded), memory) is Step.RECORD


def test_a_server_that_tells_nothing_is_read_as_long_as_none_told_anything() -> None:
    assert step(replace(READING, server=Lineage(), recorded=Lineage())) is Step.NOTHING


@pytest.mark.parametrize(
    "memory",
    [
        replace(MEMORY, revision=101),
        replace(MEMORY, beat=51),
        replace(MEMORY, acknowledged=101),
    ],
)
def test_a_log_that_went_back_is_fenced_on_the_same_server_too(memory: Memory) -> None:
    """A snapshot of the machine was restored: neither identifier nor timeline tells."""
    assert step(memory=memory) is Step.FENCE
    assert step(replace(READING, server=PROMOTED), memory) is Step.FENCE


def test_a_promoted_standby_with_everything_succeeds() -> None:
    reading = replace(READING, server=PROMOTED)
    assert step(reading) is Step.SUCCEED
    assert step(reading, replace(MEMORY, revision=90, beat=49)) is Step.SUCCEED
    assert step(reading, None) is Step.WAIT


@pytest.mark.parametrize("memory", [None, MEMORY])
@pytest.mark.parametrize(
    ("server", "recorded", "synchronous"),
    [
        (PROMOTED, HERE, False),
        (HERE, PROMOTED, True),
        (Lineage(8, 1), HERE, True),
        (Lineage(8, 2), HERE, True),
        (Lineage(None, 2), HERE, True),
        (Lineage(7, None), HERE, True),
        (Lineage(None, 2), Lineage(None, 1), True),
        (Lineage(), HERE, True),
        (Lineage(8, 1), Lineage(7), True),
    ],
)
def test_what_proves_nothing_is_fenced(
    memory: Memory | None, server: Lineage, recorded: Lineage, synchronous: bool
) -> None:
    """Another system, an earlier timeline, none that can be read, or nobody waited for a standby:
    no memory helps, and there is no node to wait for."""
    reading = replace(READING, server=server, recorded=recorded, synchronous=synchronous)
    assert step(reading, memory) is Step.FENCE


NEXT = replace(READING, epoch="e2", revision=100 + JUMP, server=PROMOTED, recorded=PROMOTED)


def test_an_epoch_that_another_node_began_is_taken_over_where_it_knew_as_much() -> None:
    assert step(NEXT, MEMORY, Ended(100, 50)) is Step.NOTHING
    assert step(NEXT, MEMORY, Ended(105, 51)) is Step.NOTHING


@pytest.mark.parametrize(
    ("memory", "ended"),
    [
        (MEMORY, Ended(99, 50)),
        (MEMORY, Ended(100, 49)),
        (replace(MEMORY, acknowledged=101), Ended(100, 50)),
        (MEMORY, None),
    ],
)
def test_a_node_that_knew_more_than_whoever_began_the_epoch_fences_it(
    memory: Memory, ended: Ended | None
) -> None:
    assert step(NEXT, memory, ended) is Step.FENCE
    # What was fenced meanwhile need not be again, by any number of nodes.
    assert step(replace(NEXT, valid_rev=100 + JUMP), memory, ended) is Step.NOTHING


def test_what_the_next_epoch_acknowledged_is_not_missed_in_the_former() -> None:
    memory = replace(MEMORY, acknowledged=103 + JUMP)
    assert step(NEXT, memory, Ended(103, 50)) is Step.NOTHING


def test_an_epoch_that_a_node_has_not_lived_in_is_not_its_to_succeed() -> None:
    reading = replace(NEXT, server=Lineage(7, 3))
    assert step(reading, MEMORY, Ended(100, 50)) is Step.WAIT
