"""Two event loops in one process, as a sync client beside an asyncio server: gRPC before 1.80
logged an error for each second event."""

import asyncio
import threading
from typing import Any

from tests.support.small_service import CALLER, call, serving
from tests.support.waiting import PATIENCE
from tokenservice import Connection

CALLS = 200


def test_two_loops_do_not_get_into_each_others_way() -> None:
    """Each has a server and a client of its own, and both are busy at the same time."""
    faults: list[dict[str, Any]] = []
    served: list[int] = []
    together = threading.Barrier(2, timeout=PATIENCE)

    async def busy() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        async with serving() as service, Connection(service.address, CALLER) as connection:
            await call(connection)
            await asyncio.to_thread(together.wait)
            for _ in range(CALLS // 8):
                await asyncio.gather(*(call(connection) for _ in range(8)))
            await asyncio.to_thread(together.wait)
            served.append(len(service.callers))

    threads = [threading.Thread(target=asyncio.run, args=(busy(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served == [CALLS + 1] * 2
    assert faults == []
