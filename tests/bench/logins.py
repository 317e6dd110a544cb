"""People who log in, all at once and again and again, from a process of its own; jobs as in
`watchers`. Whoever is refused comes back after the pause that the client package would make."""

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Any

import grpc
import uvloop

from tests.bench.watchers import serve_jobs
from tokenservice._backoff import Backoff
from tokenservice._errors import error_of

METHOD = "/tokenservice.v1.TokenService/Issue"


class Logins:
    """So many people, one request each."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._backoff = Backoff()
        self._random = random.Random(1)  # noqa: S311 - jitter
        self.served = self.refused = 0
        self.problems: dict[str, int] = {}

    async def open(self, job: dict[str, Any]) -> dict[str, Any]:
        """Connect."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.insecure_channel(job["address"], options=options)
        await channel.channel_ready()
        self._call: Any = channel.unary_unary(METHOD)
        self._metadata = (("authorization", job["authorization"]),)
        lines = Path(job["requests"]).read_text().split()
        self._requests = [bytes.fromhex(line) for line in lines]
        return {"problems": {}}

    async def start(self, job: dict[str, Any]) -> dict[str, Any]:
        """Let them all log in until `stop`."""
        del job
        self.served = self.refused = 0
        self._begin = time.monotonic()
        self._tasks = [asyncio.create_task(self._person(one)) for one in self._requests]
        return {"problems": {}}

    async def stop(self, job: dict[str, Any]) -> dict[str, Any]:
        """Send everybody home. Logins that were under way are cancelled."""
        del job
        seconds = time.monotonic() - self._begin
        in_flight = sum(not task.done() for task in self._tasks)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        return {
            "in_flight": in_flight,
            "served_per_second": self.served / seconds,
            "refused_per_second": self.refused / seconds,
            "problems": self.problems,
        }

    async def _person(self, request: bytes) -> None:
        failures = 0
        while True:
            try:
                await self._call(request, metadata=self._metadata, timeout=15)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    name = f"{error.code().name}: {error.details()}"
                    self.problems[name] = self.problems.get(name, 0) + 1
                    return
                self.refused += 1
                failures += 1
                asked = error_of(error).retry_after
                pause = self._backoff.pause(failures, self._random.random, asked)
                await asyncio.sleep(pause)
            else:
                self.served += 1
                failures = 0


if __name__ == "__main__":
    os.nice(10)
    uvloop.run(serve_jobs(Logins()))
