"""One-time codes under fire: two real server processes, and no use too many or too few."""

import asyncio
from collections import Counter

import pytest

from tests.faults.code_callers import VERIFICATION, issue, record, redeem, wrong
from tests.support.callers import Callers
from tests.support.outcomes import outcome, reasons, replies
from tokenservice.v1 import code_service_pb2 as pb

Nodes = tuple[Callers, Callers]
Outcome = pb.RedeemCodeResponse | str

UNSETTLED = {"STORE_UNAVAILABLE", "OVERLOADED", "RATE_LIMITED", "DEADLINE_EXCEEDED"}


async def settled(callers: Callers, code: str, request_id: str) -> Outcome:
    """Redeem, and ask again with the same id where a busy machine had no answer in time."""
    while True:
        found = await outcome(redeem(callers.admin, code, request_id=request_id))
        if not isinstance(found, str) or found not in UNSETTLED:
            return found
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(("uses", "racers"), [(100, 1_000), (1, 64)])
async def test_a_coupon_is_redeemed_exactly_as_often_as_it_says(
    nodes: Nodes, uses: int, racers: int
) -> None:
    issued = await issue(nodes[0].admin, max_uses=uses)
    outcomes = await asyncio.gather(
        *(settled(nodes[n % 2], issued.code, f"{issued.code_id[:8]}-{n}") for n in range(racers))
    )
    won = replies(outcomes)
    assert len(won) == uses
    assert sorted(one.uses_left for one in won) == list(range(uses))
    assert reasons(outcomes) == {"CODE_USED_UP"}
    assert (await record(nodes[1].admin, issued.code_id)).uses == uses


async def test_a_verification_code_is_redeemed_once(nodes: Nodes) -> None:
    issued = await issue(nodes[0].admin, kind=VERIFICATION, recipient="once")
    outcomes = await asyncio.gather(
        *(outcome(redeem(nodes[n % 2].admin, issued.code, recipient="once")) for n in range(64))
    )
    assert len(replies(outcomes)) == 1
    assert reasons(outcomes) <= {"CODE_UNKNOWN", "ACCOUNT_LOCKED"}
    assert (await record(nodes[1].admin, issued.code_id)).uses == 1


async def test_racing_guessers_get_five_answers_and_the_right_one_then_none(nodes: Nodes) -> None:
    issued = await issue(nodes[0].admin, kind=VERIFICATION, recipient="guessed")

    async def guess(number: int, code: str) -> Outcome:
        return await outcome(redeem(nodes[number % 2].admin, code, recipient="guessed"))

    outcomes = await asyncio.gather(*(guess(n, wrong(issued.code, n + 1)) for n in range(64)))
    assert Counter(map(str, outcomes)) == {"CODE_UNKNOWN": 5, "ACCOUNT_LOCKED": 59}
    assert await guess(0, issued.code) == "ACCOUNT_LOCKED"
    again = await issue(nodes[1].admin, kind=VERIFICATION, recipient="guessed")
    assert await guess(1, again.code) == "ACCOUNT_LOCKED"
    assert (await record(nodes[0].admin, again.code_id)).uses == 0


async def test_a_revocation_that_was_acknowledged_ends_the_redemptions(nodes: Nodes) -> None:
    issued = await issue(nodes[0].admin, max_uses=1_000)
    name = issued.code_id[:8]
    racers = [
        asyncio.create_task(settled(nodes[n % 2], issued.code, f"{name}-{n}")) for n in range(100)
    ]
    admin = nodes[1].admin
    await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
    revoking = pb.RevokeCodeRequest(code_id=issued.code_id)
    revoked = (await admin.codes.RevokeCode(revoking, metadata=admin.metadata)).record
    assert await outcome(redeem(nodes[0].admin, issued.code)) == "CODE_REVOKED"
    outcomes = await asyncio.gather(*racers)
    assert reasons(outcomes) <= {"CODE_REVOKED"}
    after = await record(nodes[0].admin, issued.code_id)
    assert len(replies(outcomes)) == after.uses == revoked.uses
