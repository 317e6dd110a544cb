"""Group commit: everybody gets their own answer, whatever becomes of the others."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.waiting import patience
from token_service.adapters.postgres.gathering import Gathering
from token_service.domain.errors import Reason, TokenServiceError, store_unavailable


class Statements:
    """Answers `n` with `-n` when told to go on; refuses what it is told to refuse."""

    def __init__(self, refused: Sequence[int] = (), *, down: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.refused = frozenset(refused)
        self.down = down
        self.go_on = asyncio.Event()

    async def run(self, questions: Sequence[int]) -> list[int]:
        self.batches.append(list(questions))
        await self.go_on.wait()
        if self.down:
            raise store_unavailable()
        if self.refused.intersection(questions):
            raise ValueError("one of them cannot be carried out")
        return [-question for question in questions]


def kind_of(question: int) -> bool:
    return question >= 100


async def started(statements: Statements, count: int) -> None:
    while len(statements.batches) < count:
        await asyncio.sleep(0)


def ask(gathering: Gathering[int, int], *questions: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(gathering.ask(question)) for question in questions]


async def test_what_arrives_meanwhile_shares_the_next_statement() -> None:
    statements = Statements()
    gathering = Gathering(statements.run, kind_of, lanes=1)
    first = ask(gathering, 1)
    await started(statements, 1)
    rest = ask(gathering, 2, 3, 4)
    await asyncio.sleep(0)
    statements.go_on.set()
    assert await asyncio.gather(*first, *rest) == [-1, -2, -3, -4]
    assert statements.batches == [[1], [2, 3, 4]]


async def test_who_asks_again_at_once_is_answered_again() -> None:
    statements = Statements()
    statements.go_on.set()
    gathering = Gathering(statements.run, kind_of, lanes=1)
    async with patience():
        assert [await gathering.ask(number) for number in range(1, 4)] == [-1, -2, -3]


async def test_lanes_bound_what_is_under_way() -> None:
    statements = Statements()
    gathering = Gathering(statements.run, kind_of, lanes=2, patience=0.001)
    asked = ask(gathering, 1)
    await started(statements, 1)
    asked += ask(gathering, 2)
    await started(statements, 2)
    asked += ask(gathering, 3, 4, 5)
    await asyncio.sleep(0.01)
    assert statements.batches == [[1], [2]]
    statements.go_on.set()
    async with patience():
        assert await asyncio.gather(*asked) == [-1, -2, -3, -4, -5]
    assert statements.batches == [[1], [2], [3, 4, 5]]


async def test_what_comes_one_by_one_waits_for_the_statement_under_way() -> None:
    statements = Statements()
    gathering = Gathering(statements.run, kind_of, lanes=2, patience=1_000_000)
    asked = ask(gathering, 1)
    await started(statements, 1)
    for number in (2, 3, 4):
        asked += ask(gathering, number)
        for _ in range(5):
            await asyncio.sleep(0)
    assert statements.batches == [[1]]
    statements.go_on.set()
    async with patience():
        assert await asyncio.gather(*asked) == [-1, -2, -3, -4]
    assert statements.batches == [[1], [2, 3, 4]]


async def test_what_is_stuck_does_not_hold_up_the_rest_while_a_lane_is_free() -> None:
    statements = Statements()
    gathering = Gathering(statements.run, kind_of, lanes=2, patience=0.01)
    stuck = ask(gathering, 1, 2, 3)
    await started(statements, 1)
    rest = ask(gathering, 4)
    async with patience():
        await started(statements, 2)
    assert statements.batches == [[1, 2, 3], [4]]
    statements.go_on.set()
    assert await asyncio.gather(*stuck, *rest) == [-1, -2, -3, -4]


async def test_kinds_do_not_mix_and_none_is_starved() -> None:
    statements = Statements()
    gathering = Gathering(statements.run, kind_of, lanes=1, most=2)
    statements.go_on.set()
    asked = ask(gathering, 1, 2, 3, 100, 4, 101)
    assert await asyncio.gather(*asked) == [-1, -2, -3, -100, -4, -101]
    assert statements.batches == [[1, 2], [100, 101], [3, 4]]


async def test_one_that_cannot_be_carried_out_does_not_spoil_the_others() -> None:
    statements = Statements(refused=[2])
    gathering = Gathering(statements.run, kind_of, lanes=1)
    statements.go_on.set()
    answers = await asyncio.gather(*ask(gathering, 1, 2, 3), return_exceptions=True)
    assert answers[0] == -1
    assert isinstance(answers[1], ValueError)
    assert answers[2] == -3


async def test_an_unknown_outcome_is_everybodys_and_nothing_is_sent_again() -> None:
    statements = Statements(down=True)
    gathering = Gathering(statements.run, kind_of, lanes=1)
    statements.go_on.set()
    answers = await asyncio.gather(*ask(gathering, 1, 2), return_exceptions=True)
    assert statements.batches == [[1, 2]]
    for answer in answers:
        assert isinstance(answer, TokenServiceError)
        assert answer.reason is Reason.STORE_UNAVAILABLE
    assert answers[0] is not answers[1]


async def test_a_caller_that_goes_away_stops_nothing() -> None:
    statements = Statements()
    gathering = Gathering(statements.run, kind_of, lanes=1)
    gone, stays = ask(gathering, 1, 2)
    await started(statements, 1)
    gone.cancel()
    statements.go_on.set()
    assert await stays == -2
    with pytest.raises(asyncio.CancelledError):
        await gone
    await gathering.close()


async def test_closing_finishes_what_was_asked() -> None:
    statements = Statements()
    gathering = Gathering(statements.run, kind_of, lanes=1)
    asked = ask(gathering, 1)
    await started(statements, 1)
    closing = asyncio.create_task(gathering.close())
    await asyncio.sleep(0)
    assert not closing.done()
    statements.go_on.set()
    await closing
    assert await asyncio.gather(*asked) == [-1]
