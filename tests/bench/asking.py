"""Asks a server about tokens, in a process of its own: one call for each, many to a call, or
through a validator. Jobs as in `watchers`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.validating import AUDIENCE, SCOPES
from tests.bench.watchers import serve_jobs
from tokenservice import ClientSecret, Connection, Source
from tokenservice._decisions.local_validator import LocalValidator
from tokenservice._validator.assembled import AssembledValidator
from tokenservice._validator.remote import RemoteValidation
from tokenservice._validator.server_calls import ServerCalls
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2

DEADLINE = 20.0


class Asking:
    """One connection; every answer is looked at."""

    async def open(self, job: dict[str, Any]) -> dict[str, Any]:
        """Connect."""
        secret = ClientSecret(job["client_id"], job["secret"])
        self.connection = Connection(job["address"], secret, channels=1)
        await self.connection.__aenter__()
        self.calls = ServerCalls(self.connection, DEADLINE)
        return {"problems": {}}

    async def unary(self, job: dict[str, Any]) -> dict[str, Any]:
        """A call of Validate for each token."""
        stub = self.connection.stubs().tokens
        metadata = await self.connection.metadata()

        async def ask(token: str) -> int:
            reply = await stub.Validate(_question(token), metadata=metadata, timeout=DEADLINE)
            return int(reply.verdict == types_pb2.VERDICT_ACTIVE)

        return await _all_active(ask, _tokens(job), job)

    async def batches(self, job: dict[str, Any]) -> dict[str, Any]:
        """So many tokens to a call of BatchValidate."""

        tokens, size = _tokens(job), job["size"]
        groups = [tokens[at : at + size] for at in range(0, len(tokens), size)]

        async def ask(group: list[str]) -> int:
            replies = await self.calls.validate([_question(token) for token in group])
            return sum(reply.verdict == types_pb2.VERDICT_ACTIVE for reply in replies)

        return await _all_active(ask, groups, job)

    async def coalesced(self, job: dict[str, Any]) -> dict[str, Any]:
        """Through a validator that has to ask about each, because it knows nothing."""
        asking = AssembledValidator(
            LocalValidator(), RemoteValidation(self.calls.validate, timeout=DEADLINE)
        )

        async def ask(token: str) -> int:
            decision = await asking.validate(token, audience=AUDIENCE, scopes=SCOPES)
            return int(decision.active and decision.source is Source.REMOTE)

        return await _all_active(ask, _tokens(job), job)


def _question(token: str) -> pb.ValidateRequest:
    return pb.ValidateRequest(token=token, audience=AUDIENCE, required_scopes=SCOPES)


async def _all_active(
    ask: Callable[[Any], Awaitable[int]], questions: Iterable[Any], job: dict[str, Any]
) -> dict[str, Any]:
    """`in_flight` questions at a time; a problem when not all `count` tokens are active."""
    rest = iter(questions)

    async def work() -> int:
        return sum([await ask(question) for question in rest])

    active = sum(await asyncio.gather(*(work() for _ in range(job["in_flight"]))))
    wrong = job["count"] - active
    return {"problems": {"not active": wrong} if wrong else {}}


def _tokens(job: dict[str, Any]) -> list[str]:
    tokens = Path(job["tokens"]).read_text().split()
    return tokens[job["first"] : job["first"] + job["count"]]


if __name__ == "__main__":
    uvloop.run(serve_jobs(Asking()))
