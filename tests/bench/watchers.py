"""Watchers of the feed, and who revokes, in processes of their own: jobs come from stdin as JSON
lines, and each is answered with one. Times are seconds of the machine's monotonic clock, which
all processes share.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import uvloop

from tokenservice.v1 import token_service_pb2, trust_service_pb2

WATCH = "/tokenservice.v1.TrustService/WatchTrust"


OPENINGS = 100
"""Streams that are opened at once: a server throws some out when a thousand calls are pending."""


class Watcher:
    """One stream; notes when it came to know of each revision."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.ready = asyncio.Event()
        self.heard: list[tuple[int, float]] = []
        self.messages = 0
        self.entries = 0
        self.ended = ""
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        try:
            async for raw in self.call:
                self._take(trust_service_pb2.WatchTrustResponse.FromString(raw))
        except grpc.aio.AioRpcError as error:
            self.ended = error.code().name
            self.ready.set()

    def _take(self, message: trust_service_pb2.WatchTrustResponse) -> None:
        self.messages += 1
        if message.HasField("snapshot"):
            self.entries += len(message.snapshot.entries)
            if not message.snapshot.last:
                return
        if not self.heard or message.revision != self.heard[-1][0]:
            self.heard.append((message.revision, time.monotonic()))
        self.ready.set()


class Process:
    """What one process holds open, by group, and the jobs it does."""

    def __init__(self) -> None:
        self.channels: dict[str, list[Any]] = {}
        self.watchers: dict[str, list[Watcher]] = {}

    async def open(self, job: dict[str, Any]) -> dict[str, Any]:
        """Open so many streams over so many connections, and wait until all have begun."""
        begin = time.monotonic()
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels: list[Any] = [
            grpc.aio.insecure_channel(job["address"], options=options)
            for _ in range(job["connections"])
        ]
        metadata = (("authorization", job["authorization"]),)
        watchers: list[Watcher] = []
        self.channels[job["group"]], self.watchers[job["group"]] = channels, watchers
        for first in range(0, job["count"], OPENINGS):
            for number in range(first, min(first + OPENINGS, job["count"])):
                method = channels[number % len(channels)].unary_stream(job["method"])
                watchers.append(Watcher(method(b"", metadata=metadata)))
            for watcher in watchers[first:]:
                await asyncio.wait_for(watcher.ready.wait(), 60)
        return {
            "seconds": time.monotonic() - begin,
            "entries": sum(watcher.entries for watcher in watchers),
            "problems": problems(watchers),
        }

    async def collect(self, job: dict[str, Any]) -> dict[str, Any]:
        """What each watcher of a group heard, once it has `revision`; then forget it."""
        watchers = self.watchers[job["group"]]
        until = time.monotonic() + 10.0
        while not all(one.heard and one.heard[-1][0] >= job["revision"] for one in watchers):
            await asyncio.sleep(0.01)
            if time.monotonic() > until:
                break
        heard = [watcher.heard for watcher in watchers]
        messages = sum(watcher.messages for watcher in watchers)
        for watcher in watchers:
            watcher.heard, watcher.messages = watcher.heard[-1:], 0
        return {"heard": heard, "messages": messages, "problems": problems(watchers)}

    async def close(self, job: dict[str, Any]) -> dict[str, Any]:
        """Close a group."""
        for watcher in self.watchers.pop(job["group"]):
            watcher.task.cancel()
        for channel in self.channels.pop(job["group"]):
            await channel.close()
        return {"problems": {}}

    async def revoke(self, job: dict[str, Any]) -> dict[str, Any]:
        """Send requests at a rate, or all at once; when each was acknowledged."""
        requests = [bytes.fromhex(line) for line in Path(job["requests"]).read_text().split()]
        requests = requests[job["first"] : job["first"] + job["count"]]
        metadata = (("authorization", job["authorization"]),)
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(job["address"], options=options) as channel:
            await channel.channel_ready()
            method: Any = channel.unary_unary(job["method"])

            async def one(request: bytes) -> tuple[int, float, float]:
                begin = time.monotonic()
                reply = await method(request, metadata=metadata, timeout=20)
                now = time.monotonic()
                return token_service_pb2.RevokeResponse.FromString(reply).revision, begin, now

            begin = time.monotonic()
            tasks = []
            for number, request in enumerate(requests):
                if job["rate"]:
                    await asyncio.sleep(begin + number / job["rate"] - time.monotonic())
                tasks.append(asyncio.create_task(one(request)))
            revoked = await asyncio.gather(*tasks)
        return {"revoked": revoked, "problems": {}}


def problems(watchers: list[Watcher]) -> dict[str, int]:
    """Streams that ended, by status."""
    return dict(Counter(watcher.ended for watcher in watchers if watcher.ended))


async def serve_jobs(process: object) -> None:
    """Do one job after the other, each by the method of its name, until stdin ends."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        job = json.loads(line)
        answer = await getattr(process, job["job"])(job)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve_jobs(Process()))
