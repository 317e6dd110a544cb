"""The load, in a process of its own: reads jobs from stdin, a JSON line each, and answers each
with a JSON line. Requests come from a file, so that large ones cost the job nothing.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import uvloop

from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

Call = Any
Answer = dict[str, Any]

ATTEMPT_SECONDS = 3.0
"""As the client package gives each attempt."""


class Run:
    """One job: so many calls at so much concurrency; every reply is looked at."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.seconds: list[float] = []
        self._next = 0
        self.problems: dict[str, int] = {}
        self.metadata = (("authorization", job["authorization"]),)
        lines = Path(job["requests"]).read_text().splitlines()
        self.requests = [bytes.fromhex(line) for line in lines]

    async def __call__(self) -> Answer:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with AsyncExitStack() as stack:
            calls: list[Call] = []
            for _ in range(self.job.get("channels", 1)):
                channel = grpc.aio.insecure_channel(self.job["address"], options=options)
                await stack.enter_async_context(channel)
                await channel.channel_ready()
                calls.append(channel.unary_unary(self.job["method"]))
            begin = time.perf_counter()
            if self.job["kind"] == "paced":
                await self._paced(calls[0])
            else:
                work = _WORK[self.job["kind"]]
                numbers = iter(range(self.job["count"]))
                workers = zip(range(self.job["concurrency"]), itertools.cycle(calls), strict=False)
                await asyncio.gather(*(work(self, call, numbers, index) for index, call in workers))
            elapsed = time.perf_counter() - begin
        return self._answer(elapsed)

    async def _paced(self, call: Call) -> None:
        """Calls that are due at random moments, `rate` of them a second."""
        pauses = random.Random(1)  # noqa: S311 - the same moments in each round
        due, tasks = time.perf_counter(), []
        for _ in range(self.job["count"]):
            due += pauses.expovariate(self.job["rate"])
            await asyncio.sleep(due - time.perf_counter())
            tasks.append(asyncio.create_task(self._checked(call, self.requests[0], due)))
        await asyncio.gather(*tasks)

    async def _calls(self, call: Call, numbers: Iterator[int], index: int) -> None:
        del index
        requests = itertools.cycle(self.requests) if self.job["kind"] == "warm" else None
        for number in numbers:
            request = next(requests) if requests else self.requests[number]
            await self._checked(call, request, time.perf_counter())

    async def _roaming(self, call: Call, numbers: Iterator[int], index: int) -> None:
        """Each exchange is of the next session in the file, and the first again after the last."""
        del index
        for _ in numbers:
            request = pb.ExchangeRequest.FromString(self.requests[self._next])
            place = self._next
            self._next = (self._next + 1) % len(self.requests)
            request.exchange_id = bytes(16)
            reply = await self._timed(call, request.SerializeToString(), time.perf_counter())
            if reply is not None:
                token = pb.ExchangeResponse.FromString(reply).tokens.session_token
                self.requests[place] = pb.ExchangeRequest(token=token).SerializeToString()

    async def _exchanges(self, call: Call, numbers: Iterator[int], index: int) -> None:
        """Each worker has sessions of its own and exchanges what it got before."""
        token = pb.ExchangeRequest.FromString(self.requests[index]).token
        for _ in numbers:
            request = pb.ExchangeRequest(token=token, exchange_id=bytes(16))
            reply = await self._timed(call, request.SerializeToString(), time.perf_counter())
            if reply is None:
                return
            token = pb.ExchangeResponse.FromString(reply).tokens.session_token
        self.requests[index] = pb.ExchangeRequest(token=token).SerializeToString()

    async def _checked(self, call: Call, request: bytes, begin: float) -> None:
        reply = await self._timed(call, request, begin)
        if reply is not None and self.job["method"].endswith("/Validate"):
            self._expect_active(reply)

    async def _timed(self, call: Call, request: bytes, begin: float) -> bytes | None:
        try:
            reply: bytes = await call(request, metadata=self.metadata, timeout=ATTEMPT_SECONDS)
        except grpc.aio.AioRpcError as error:
            self._problem(error.code().name)
            return None
        self.seconds.append(time.perf_counter() - begin)
        return reply

    def _expect_active(self, reply: bytes) -> None:
        verdict = pb.ValidateResponse.FromString(reply).verdict
        if verdict != types.VERDICT_ACTIVE:
            self._problem(types.Verdict.Name(verdict))

    def _problem(self, name: str) -> None:
        self.problems[name] = self.problems.get(name, 0) + 1

    def _answer(self, elapsed: float) -> Answer:
        if self.job["kind"] in ("exchange", "roaming"):
            # So that the next round goes on from here. Roamers begin with sessions that were not
            # exchanged yet, as long as there are any.
            ordered_requests = self.requests[self._next :] + self.requests[: self._next]
            text = "\n".join(request.hex() for request in ordered_requests)
            Path(self.job["requests"]).write_text(text)
        ordered = sorted(self.seconds)
        return {
            "calls": len(ordered),
            "problems": self.problems,
            "seconds": elapsed,
            "p50_ms": 1e3 * ordered[len(ordered) // 2] if ordered else 0,
            "p99_ms": 1e3 * ordered[int(len(ordered) * 0.99)] if ordered else 0,
        }


_WORK: dict[str, Callable[[Run, Call, Iterator[int], int], Awaitable[None]]] = {
    "warm": Run._calls,
    "cold": Run._calls,
    "exchange": Run._exchanges,
    "roaming": Run._roaming,
}

if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(uvloop.run(Run(json.loads(line))())) + "\n")
        sys.stdout.flush()
