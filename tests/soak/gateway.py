"""A gateway: a validator of the client package that follows the feed, in a process of its own.

Each line from stdin has the time at which it was written (monotonic), a verdict, a revision from
which that holds, and a token. Once a second a line with what came of it goes to stdout.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta

import uvloop

from tests.soak.world import AUDIENCE
from tests.support.clocks import settle
from tokenservice import ClientSecret, Connection, Decision, Validator

READY_SECONDS = 20.0
AT_ONCE = 200
"""Tokens that are judged at the same time."""
SCOPES = ((), ("orders.read",), ("orders.read", "orders.write"))
LINE_BYTES = 1 << 16
SPOILT, GIVEN_UP, ALONE = 0.2, 0.1, 0.001
"""Shares of the tokens: those also judged with another character in them; those that somebody
stops asking about; and, of these, those asked with a revision that nobody has heard of."""
LATER = {"": (), "none": (), "ACTIVE": (), "REVOKED": ("EXPIRED",)}
"""What a verdict may have become until a token is judged."""
PROMPT_SECONDS = 0.15
"""A token is good for longer than this; what is judged later may have come to its end."""


class Gateway:
    """Judges what it is given, several times as requests come, and some made-up tokens."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator
        self._room = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._judged: Counter[str] = Counter()
        self._wrong: Counter[str] = Counter()

    async def judge_all(self, lines: asyncio.StreamReader) -> None:
        """Until there is nothing more to come."""
        while line := await lines.readline():
            at, verdict, revision, token = line.decode().split()
            await self._room.acquire()
            task = asyncio.create_task(self._judge(float(at), verdict, int(revision), token))
            self._tasks.add(task)
            task.add_done_callback(self._judged_one)

    def _judged_one(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        if error := task.exception():
            self._wrong[f"raised {type(error).__name__}"] += 1

    async def _judge(self, at: float, expected: str, revision: int, token: str) -> None:
        validator, chance = self._validator, random.random()
        if chance < GIVEN_UP:
            ahead = validator.revision + 1 if chance < ALONE else 0
            await self._give_up(validator.validate(token, audience=AUDIENCE, min_revision=ahead))
        for scopes in SCOPES:
            decision = await validator.validate(
                token, audience=AUDIENCE, scopes=scopes, min_revision=revision
            )
            late = expected == "ACTIVE" and time.monotonic() - at > PROMPT_SECONDS
            self._note("" if late else expected, decision)
        if chance > 1 - SPOILT:
            spoilt = token[:-9] + ("AB" if token[-9] != "A" else "BA") + token[-7:]
            self._note("none", await validator.validate(spoilt, audience=AUDIENCE))

    async def _give_up(self, question: Coroutine[None, None, Decision]) -> None:
        """A request whose client goes away, perhaps while the server is asked."""
        asking = asyncio.create_task(question)
        await asyncio.sleep(random.uniform(0, 0.002))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    def _note(self, expected: str, decision: Decision) -> None:
        """Count a decision; that nobody answered is counted, and never wrong by itself."""
        got = decision.verdict.name if decision.answered else f"unanswered {decision.reason}"
        self._judged[f"{got} where {expected or 'anything'} was due"] += 1
        wrong = decision.active if expected == "none" else got not in (expected, *LATER[expected])
        if expected and wrong and decision.answered:
            self._wrong[f"{got} instead of {expected}"] += 1

    def standing(self) -> dict[str, object]:
        """What came of it so far, and what is held in memory."""
        local = self._validator.local
        return {
            "judged": self._judged,
            "wrong": self._wrong,
            "fresh": local.fresh,
            "busy": len(self._tasks),
            "held": {
                "tasks": len(asyncio.all_tasks()),
                "trust_entries": local.trust.size,
                "tokens": len(local.cache),
                "refusals": len(local.refusals),
                "active_sessions": len(local.activity),
            },
        }


async def report(gateway: Gateway) -> None:
    """Tell how it stands, every second."""
    while True:
        sys.stdout.write(json.dumps(gateway.standing()) + "\n")
        sys.stdout.flush()
        await asyncio.sleep(1)


async def main(address: str, client_id: str, secret: str) -> None:
    """Judge what comes from stdin, until its end."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with Connection(address, ClientSecret(client_id, secret), channels=2) as connection:
        validator = Validator(connection)
        settle(validator.local.clock)
        async with validator:
            if not await validator.wait_ready(timedelta(seconds=READY_SECONDS)):
                raise SystemExit("the validator has no view of the trust log")
            gateway = Gateway(validator)
            reporting = asyncio.create_task(report(gateway))
            await gateway.judge_all(reader)
            reporting.cancel()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.stdin.readline().strip()))
