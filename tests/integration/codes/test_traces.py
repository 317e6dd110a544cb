"""Wrong one-time codes leave rows in the audit log, as many as say what goes on and no secret."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.codes.code_world import COUPON, VERIFICATION, Codes, wrong
from tests.support.node import Node, started


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as node:
        yield node


@pytest.fixture
def codes(node: Node) -> Codes:
    return Codes(node)


async def rows(node: Node) -> list[dict[str, str]]:
    """The rows, in their order, with the counts of their details as columns."""
    found = await node.database.fetch("""
        SELECT actor, target, subject, outcome, details
        FROM audit_log WHERE action = 'code.redeem' ORDER BY id
    """)
    return [{**row, **dict(part.split("=", 1) for part in row["details"].split())} for row in found]


async def test_wrong_codes_leave_rows(node: Node, codes: Codes) -> None:
    issued = await codes.new(VERIFICATION)
    for _ in range(7):
        await codes.guessed(wrong(issued.text))
    first, lock = await rows(node)
    said = (first["actor"], first["target"], first["outcome"])
    assert said == ("shop", "unknown", "code_unknown")
    assert lock["of_recipient"] == "5"
    coupon = await codes.new(COUPON)
    for _ in range(30):
        await codes.tried(wrong(coupon.text), redeemer="mallory")
    noted = [row for row in await rows(node) if row["subject"] == "mallory"]
    assert [row["of_redeemer"] for row in noted] == ["1", "10", "20"]
    assert issued.text not in str(await rows(node))


async def test_wrong_codes_of_named_people_hide_none_of_nobody(node: Node, codes: Codes) -> None:
    """A busy caller has as many mistyped codes in a quarter of an hour as are ever told of."""
    coupon = await codes.new(COUPON)
    for number in range(101):
        await codes.tried(wrong(coupon.text), redeemer=f"u{number}")
    for _ in range(10):
        await codes.tried(wrong(coupon.text))
    noted = [row["of_nobody"] for row in await rows(node) if not row["subject"]]
    assert noted == ["1", "10"]
