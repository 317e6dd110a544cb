"""The statement that redeems and `decide_redeem` agree in every state; and under racers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.codes.code_world import ANA, COUPON, SHOP, VERIFICATION, Codes, wish, wrong
from tests.integration.postgres_world import NOW, holding, until_let_be
from tests.support.node import Node, started
from token_service.adapters.postgres.codes.store import CodeStore
from token_service.domain.codes.decision import (
    ATTEMPT_WINDOW,
    MAX_ATTEMPTS,
    Code,
    Presented,
    Redeem,
    RedeemView,
    Redemption,
    Wrong,
    decide_redeem,
)
from token_service.domain.errors import TokenServiceError
from token_service.domain.kinds import CodeKind

SECOND = timedelta(seconds=1)
BUCKET = b"bucket"
TIMES = {
    "early": (NOW + SECOND, NOW + 2 * SECOND),
    "first": (NOW, NOW + SECOND),
    "last": (NOW - SECOND, NOW + SECOND / 1000),
    "late": (NOW - SECOND, NOW),
}
FAILURES = [
    (0, None),
    (MAX_ATTEMPTS - 1, NOW + SECOND),
    (MAX_ATTEMPTS - 1, NOW),
    (MAX_ATTEMPTS, NOW + SECOND),
    (MAX_ATTEMPTS, NOW),
]


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as node:
        yield node


def stored(kind: CodeKind, number: int, **changes: Any) -> Code:
    """A code at a place of its own."""
    code = Code(
        code_id=uuid4(),
        client_id="shop",
        kind=kind,
        purpose=f"p{number}",
        recipient=ANA,
        subject="",
        max_uses=2,
        length=6,
        alphabet="01",
        payload=b"x",
        created_at=NOW,
        not_before=NOW,
        expires_at=NOW,
        code_hash=number.to_bytes(32, "big"),
        pepper_id="p",
        request_id="",
        request_hash=b"",
    )
    return replace(code, **changes)


async def put(node: Node, store: CodeStore, code: Code) -> None:
    """Insert the code in its state."""
    assert await store.insert(code, SHOP.audit(NOW, "code.issue"))
    await node.database.execute(
        "UPDATE codes SET uses = $2, failures = $3, failures_until = $4, revoked_at = $5"
        " WHERE code_id = $1",
        code.code_id,
        code.uses,
        code.failures,
        code.failures_until,
        code.revoked_at,
    )


def states() -> list[tuple[Code, Presented]]:
    """Every combination of what decides."""
    made = []
    for number, (kind, right, mine, revoked, times, uses, failed) in enumerate(
        product(
            (COUPON, VERIFICATION),
            (True, False),
            (True, False),
            (None, NOW),
            TIMES.values(),
            (1, 2),
            FAILURES,
        )
    ):
        if failed[0] and kind is COUPON:
            continue
        code = stored(
            kind,
            number,
            not_before=times[0],
            expires_at=times[1],
            uses=uses,
            failures=failed[0],
            failures_until=failed[1],
            revoked_at=revoked,
        )
        hashes = (b"other", code.code_hash or b"") if right else (b"other",)
        recipient = ANA if mine else "bob"
        made.append(
            (
                code,
                Presented(
                    client_id="shop",
                    purpose=code.purpose,
                    recipient=recipient,
                    redeemer="u1",
                    request_id="",
                    hashes=hashes,
                ),
            )
        )
    return made


def due(view: RedeemView, presented: Presented) -> str:
    """What the decision has written."""
    try:
        decision = decide_redeem(view, presented, NOW)
    except TokenServiceError:
        return "nothing"
    if isinstance(decision, Redeem):
        return "a use"
    return "a failure" if isinstance(decision, Wrong) and decision.counted else "nothing"


def found_by(code: Code, presented: Presented) -> Code | None:
    """The code that a reading for `presented` comes upon."""
    held = code.code_hash in presented.hashes
    guessed = code.kind is VERIFICATION and code.recipient == presented.recipient
    return code if held or guessed else None


@pytest.mark.parametrize("closed", [False, True])
async def test_the_statement_does_what_the_decision_says(node: Node, closed: bool) -> None:
    store = CodeStore(node.database)
    if closed:
        await node.database.execute(
            "INSERT INTO attempts VALUES ($1, 1, $2, $2)", BUCKET, NOW + SECOND
        )
    audit = SHOP.audit(NOW, "code.redeem")
    written = {"a use": 0, "a failure": 0, "nothing": 0}
    for code, presented in states():
        await put(node, store, code)
        seen = RedeemView(found_by(code, presented), locked_until=NOW + SECOND if closed else None)
        expected = due(seen, presented)
        answer = await store.redeem(presented, [BUCKET], NOW, audit)
        after = await store.get("shop", code.code_id)
        assert after is not None
        done = "nothing"
        if answer.redeemed is not None:
            done = "a use"
            assert after == replace(code, uses=code.uses + 1, last_redeemed_at=NOW)
            assert answer.redeemed.uses_left == code.max_uses - code.uses - 1
        elif answer.counted:
            done = "a failure"
            live = code.failures_until is not None and code.failures_until > NOW
            failures = code.failures + 1 if live else 1
            until = NOW + ATTEMPT_WINDOW
            if live and failures < MAX_ATTEMPTS:
                until = code.failures_until or until
            assert after == replace(code, failures=failures, failures_until=until)
        else:
            assert after == code
            assert answer.view == seen
        assert done == expected, (code, presented)
        written[done] += 1
    if closed:
        assert written["nothing"] == sum(written.values())
    else:
        assert min(written.values()) >= 10, written


async def test_a_request_that_redeemed_before_writes_nothing_in_any_state(node: Node) -> None:
    codes = Codes(node)
    for kind in (COUPON, VERIFICATION):
        issued = await codes.new(kind)
        given: dict[str, Any] = {"recipient": ANA, "request_id": f"r{kind}"}
        await codes.redeemed(issued.text, **given)
        before = await codes.administration.get(SHOP, issued.code_id)
        for code in (issued.text, wrong(issued.text)):
            assert await codes.tried(code, **given) in ("again", "REQUEST_ID_USED")
        assert await codes.administration.get(SHOP, issued.code_id) == before


def test_a_redemption_is_told_without_its_hash() -> None:
    past = Redemption(
        code_id=uuid4(),
        code_hash=b"h" * 32,
        purpose="p",
        recipient="",
        redeemer="",
        uses_left=1,
        payload=b"secret",
    )
    assert "h" * 32 not in repr(past)


@pytest.fixture
async def pair(dsn: str) -> AsyncIterator[tuple[Codes, Codes]]:
    """Two nodes on one database and one set of secrets."""
    async with started(dsn, codes_per_recipient=1_000) as one:
        yield Codes(one), Codes(await one.sibling())


async def test_of_64_guessers_five_are_answered_and_the_rest_learn_nothing(
    pair: tuple[Codes, Codes],
) -> None:
    issued = await pair[0].new(VERIFICATION)
    guesses = [f"{(int(issued.text) + 1 + n) % 10**6:06}" for n in range(64)]
    outcomes = await asyncio.gather(
        *(pair[n % 2].guessed(guess) for n, guess in enumerate(guesses))
    )
    assert outcomes.count("CODE_UNKNOWN") == MAX_ATTEMPTS
    assert outcomes.count("ACCOUNT_LOCKED") == 64 - MAX_ATTEMPTS
    assert await pair[1].guessed(issued.text) == "ACCOUNT_LOCKED"


async def test_guessers_that_race_reissues_get_no_more_guesses(pair: tuple[Codes, Codes]) -> None:
    for _ in range(3):
        await asyncio.gather(*(pair[n % 2].new(VERIFICATION) for n in range(3)))
        *outcomes, _ = await asyncio.gather(
            *(pair[n % 2].guessed("no such code") for n in range(8)), pair[0].new(VERIFICATION)
        )
        assert set(outcomes) <= {"CODE_UNKNOWN", "ACCOUNT_LOCKED"}
    rows = await pair[0].node.database.fetch(
        "SELECT failures FROM codes WHERE code_hash IS NOT NULL"
    )
    assert [row["failures"] for row in rows] == [MAX_ATTEMPTS]


async def test_of_64_racers_with_one_request_one_redeems_and_the_others_hear_of_it(
    pair: tuple[Codes, Codes],
) -> None:
    issued = await pair[0].new(COUPON, max_uses=9)
    outcomes = await asyncio.gather(
        *(pair[n % 2].tried(issued.text, request_id="r1") for n in range(64))
    )
    assert sorted(set(outcomes)) == ["again", "ok"]
    assert outcomes.count("ok") == 1
    assert (await pair[0].administration.get(SHOP, issued.code_id)).uses == 1


async def test_issuers_that_race_with_one_request_get_one_code(pair: tuple[Codes, Codes]) -> None:
    for kind in (COUPON, VERIFICATION):
        issued = await asyncio.gather(
            *(pair[n % 2].new(kind, request_id=f"r{kind}") for n in range(8))
        )
        assert len({(one.code_id, one.text) for one in issued}) == 1


async def test_of_racing_reissues_one_code_is_left(pair: tuple[Codes, Codes]) -> None:
    issued = await asyncio.gather(
        *(pair[n % 2].issue(SHOP, wish(VERIFICATION)) for n in range(4)), return_exceptions=True
    )
    made = [one for one in issued if not isinstance(one, BaseException)]
    assert made
    rows = await pair[0].node.database.fetch(
        "SELECT code_id FROM codes WHERE code_hash IS NOT NULL"
    )
    assert len(rows) == 1
    assert rows[0]["code_id"] in {one.code_id for one in made}


async def test_whoever_waits_for_a_revocation_redeems_nothing(pair: tuple[Codes, Codes]) -> None:
    codes = pair[0]
    issued = await codes.new(COUPON, max_uses=9)
    async with holding(
        codes.node.database,
        "UPDATE codes SET revoked_at = $2 WHERE code_id = $1",
        issued.code_id,
        NOW,
    ):
        racer = asyncio.create_task(codes.tried(issued.text))
        await until_let_be(codes.node.database, "%WITH target AS%")
    assert await racer == "CODE_REVOKED"
    assert (await codes.administration.get(SHOP, issued.code_id)).uses == 0
