"""The load, in a process of its own: reads jobs from stdin, a JSON line each, and answers each
with a JSON line. Requests come from a file, so that large ones cost the job nothing.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import uvloop

from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

Call = Any
Answer = dict[str, Any]


class Run:
    """One job: so many calls at so much concurrency; every reply is looked at."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.seconds: list[float] = []
        self.began = 0.0
        self.problems: dict[str, int] = {}
        self.metadata = (("authorization", job["authorization"]),)
        lines = Path(job["requests"]).read_text().splitlines()
        self.requests = [bytes.fromhex(line) for line in lines]

    async def __call__(self) -> Answer:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self.job["address"], options=options) as channel:
            call: Call = channel.unary_unary(self.job["method"])
            await channel.channel_ready()
            work = self._exchanges if self.job["kind"] == "exchange" else self._calls
            numbers = iter(range(self.job["count"]))
            begin = time.perf_counter()
            workers = range(self.job["concurrency"])
            await asyncio.gather(*(work(call, numbers, index) for index in workers))
            elapsed = time.perf_counter() - begin
        return self._answer(elapsed)

    async def _calls(self, call: Call, numbers: Iterator[int], index: int) -> None:
        del index
        self.began = time.perf_counter()
        requests = itertools.cycle(self.requests) if self.job["kind"] == "warm" else None
        for number in numbers:
            await self._turn(number)
            request = next(requests) if requests else self.requests[number]
            reply = await self._timed(call, request)
            if reply is not None and self.job["method"].endswith("/Validate"):
                self._expect_active(reply)

    async def _turn(self, number: int) -> None:
        """With `calls_per_second`, wait until this call is due; one that is late is not made up."""
        rate = self.job.get("calls_per_second")
        if rate is not None:
            await asyncio.sleep(self.began + number / rate - time.perf_counter())

    async def _exchanges(self, call: Call, numbers: Iterator[int], index: int) -> None:
        """Each worker has sessions of its own and exchanges what it got before."""
        token = pb.ExchangeRequest.FromString(self.requests[index]).token
        for _ in numbers:
            request = pb.ExchangeRequest(token=token, exchange_id=bytes(16))
            reply = await self._timed(call, request.SerializeToString())
            if reply is None:
                return
            token = pb.ExchangeResponse.FromString(reply).tokens.session_token
        self.requests[index] = pb.ExchangeRequest(token=token).SerializeToString()

    async def _timed(self, call: Call, request: bytes) -> bytes | None:
        begin = time.perf_counter()
        try:
            reply: bytes = await call(request, metadata=self.metadata, timeout=20)
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
        if self.job["kind"] == "exchange":  # so that the next round goes on from here
            text = "\n".join(request.hex() for request in self.requests)
            Path(self.job["requests"]).write_text(text)
        ordered = sorted(self.seconds)
        return {
            "calls": len(ordered),
            "problems": self.problems,
            "seconds": elapsed,
            "p50_ms": 1e3 * ordered[len(ordered) // 2] if ordered else 0,
            "p99_ms": 1e3 * ordered[int(len(ordered) * 0.99)] if ordered else 0,
        }


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(uvloop.run(Run(json.loads(line))())) + "\n")
        sys.stdout.flush()
