"""What a supervisor and a worker tell each other."""

import asyncio
import socket
from typing import Any

from token_service.app.processes.control import MAX_WAITING, ControlLine


async def pair() -> tuple[ControlLine, ControlLine]:
    one, other = socket.socketpair()
    return await ControlLine.open(one), await ControlLine.open(other)


async def heard(line: ControlLine) -> list[dict[str, Any]]:
    return [message async for message in line.messages()]


async def test_messages_arrive_in_order_and_the_end_is_noticed() -> None:
    one, other = await pair()
    one.send(serving="127.0.0.1:1")
    one.send(counts={"methods": {}, "active": {}}, asked=1)
    await one.close()
    assert await heard(other) == [
        {"serving": "127.0.0.1:1"},
        {"counts": {"methods": {}, "active": {}}, "asked": 1},
    ]
    await other.close()


async def test_what_is_not_understood_is_skipped() -> None:
    one, its = socket.socketpair()
    line = await ControlLine.open(its)
    with one:
        one.sendall(b'nonsense\n[1]\n{"do": "count"}\n')
    assert await heard(line) == [{"do": "count"}]
    await line.close()


async def test_speaking_to_nobody_does_no_harm() -> None:
    one, other = await pair()
    await other.close()
    assert await heard(one) == []
    for _ in range(3):
        one.send(do="count")
        await asyncio.sleep(0)
    await one.close()
    one.send(do="count")


async def test_one_that_does_not_read_is_noticed() -> None:
    one, other = await pair()
    before = one.congested
    for _ in range(40):
        one.send(text="x" * (MAX_WAITING // 16))
    assert (before, one.congested) == (False, True)
    reading = asyncio.create_task(heard(other))
    await one.close()
    assert len(await reading) == 40
    await other.close()
