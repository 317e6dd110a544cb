"""What a process uses and holds, read from outside."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.bench.feed_processes import rss_bytes
from tests.bench.processes import ROOT, cpu_seconds

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """One process at one moment; `at` is monotonic, `held` as the process itself tells, besides its
    connections to the stores, which are not among `descriptors`."""

    at: float
    rss: float
    descriptors: int
    threads: int
    cpu: float
    held: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, pid: int, held: Mapping[str, int]) -> "Reading":
        """Take one."""
        local, others = _descriptors(pid)
        return cls(
            time.monotonic(),
            rss_bytes(pid) / MIB,
            others,
            len(list(Path(f"/proc/{pid}/task").iterdir())),
            cpu_seconds(pid),
            {**held, "store_connections": local},
        )

    def busy_since(self, before: "Reading") -> float:
        """Which part of the time since then the process had a processor."""
        return (self.cpu - before.cpu) / max(0.001, self.at - before.at)


def _descriptors(pid: int) -> tuple[int, int]:
    """How many are sockets within this machine, as the stores' are here, and how many are not."""
    sockets = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}
    local = others = 0
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(one.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:[") and target[8:-1] in sockets:
            local += 1
        else:
            others += 1
    return local, others


def metrics(address: str) -> dict[str, int]:
    """What the server tells of what it holds, and of its calls in flight."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    held: dict[str, int] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "token_service_held":
                held[sample.labels["kind"]] = int(sample.value)
            elif sample.name == "token_service_rpc_active":
                held[f"calls_{sample.labels['work']}"] = int(sample.value)
    return held


class GatewayProcess:
    """The validator's process; `standing` is what it told last."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.standing: dict[str, Any] = {}
        self._ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, address: str, client_id: str, secret: str) -> "GatewayProcess":
        """Start it, and wait until it has its first view of the trust log."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.soak.gateway", address, client_id,
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(f"{secret}\n".encode())
        gateway = cls(process)
        async with asyncio.timeout(60):
            await gateway._ready.wait()
        return gateway

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.returncode is None

    @property
    def behind(self) -> int:
        """Bytes that it has not taken yet."""
        assert self._process.stdin is not None
        return self._process.stdin.transport.get_write_buffer_size()

    def expect(self, verdict: str, revision: int, token: str) -> None:
        """Have a token judged."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{time.monotonic()} {verdict} {revision} {token}\n".encode())

    def reading(self) -> Reading:
        """Take one."""
        return Reading.of(self.pid, self.standing["held"])

    async def close(self) -> None:
        """End it."""
        if self.alive:
            self._process.kill()
        await self._process.wait()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):
            while line := await self._process.stdout.readline():
                self.standing = json.loads(line)
                self._ready.set()
