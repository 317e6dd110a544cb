"""Like `watchers`, with real validators: processes in which they follow a server's feed."""

import asyncio
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.watchers import Process, serve_jobs
from tokenservice import ClientSecret, Connection
from tokenservice._decisions.activity import ActivityLog
from tokenservice._decisions.local_validator import LocalValidator
from tokenservice._decisions.token_cache import TokenCache
from tokenservice._validator.assembled import AssembledValidator
from tokenservice._validator.follower import TrustFollower
from tokenservice._validator.remote import RemoteValidation
from tokenservice._validator.server_calls import ServerCalls
from tokenservice.core import TrustState

AUDIENCE = "orders"
SCOPES = ("orders.read",)
SAMPLE = 5
"""Every so many-th of the tokens is looked at by each validator."""


class NotingTrust(TrustState):
    """Notes when it came to know of each revision."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[int, float]] = []
        self.messages = 0

    def apply_delta(self, *message: Any) -> None:
        """Apply it, then note it."""
        super().apply_delta(*message)
        self.messages += 1
        self.heard.append((self.revision, time.monotonic()))


class Following:
    """One validator with its connection; to be collected from like a watcher."""

    def __init__(self, address: str, client_id: str, secret: str) -> None:
        self.trust = NotingTrust()
        self.ended = ""
        self.connection = Connection(address, ClientSecret(client_id, secret), channels=1)
        local = LocalValidator(trust=self.trust, cache=TokenCache(), activity=ActivityLog())
        calls = ServerCalls(self.connection, 1.0)
        self.validator = AssembledValidator(
            local, RemoteValidation(calls.validate), follower=TrustFollower(local, calls.watch)
        )

    @property
    def heard(self) -> list[tuple[int, float]]:
        """Revisions and when they were known."""
        return self.trust.heard or [(self.trust.revision, 0.0)]

    @heard.setter
    def heard(self, heard: list[tuple[int, float]]) -> None:
        self.trust.heard = heard

    @property
    def messages(self) -> int:
        """Deltas since the last time."""
        return self.trust.messages

    @messages.setter
    def messages(self, messages: int) -> None:
        self.trust.messages = messages

    async def start(self) -> None:
        """Follow; raises RuntimeError when the view does not get fresh."""
        await self.connection.__aenter__()
        await self.validator.__aenter__()
        if not await self.validator.wait_ready(timedelta(seconds=30)):
            raise RuntimeError("a validator has no view of the log")


class Validating(Process):
    """Watchers that are validators, besides the raw ones."""

    async def follow(self, job: dict[str, Any]) -> dict[str, Any]:
        """Start validators, a connection each."""
        begin = time.monotonic()
        started = [
            Following(job["address"], job["client_id"], job["secret"]) for _ in range(job["count"])
        ]
        await asyncio.gather(*(one.start() for one in started))
        self.watchers[job["group"]] = started  # type: ignore[assignment]  # collected alike
        return {"seconds": time.monotonic() - begin, "problems": {}}

    async def verdicts(self, job: dict[str, Any]) -> dict[str, Any]:
        """What each validator says of some of these tokens, by verdict and source."""
        tokens = Path(job["tokens"]).read_text().split()
        tokens = tokens[job["first"] : job["first"] + job["count"] : SAMPLE]
        counts: Counter[str] = Counter()
        for one in self.watchers[job["group"]]:
            assert isinstance(one, Following)
            for token in tokens:
                decision = await one.validator.validate(token, audience=AUDIENCE, scopes=SCOPES)
                counts[f"{decision.verdict.name} {decision.source.name}"] += 1
        return {"counts": dict(counts), "problems": {}}


if __name__ == "__main__":
    uvloop.run(serve_jobs(Validating()))
