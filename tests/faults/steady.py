"""Callers that go on calling, and retry as plain gRPC does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc

from tests.support.api import Api, basic, exchange_id
from tests.support.outcomes import outcome
from tests.support.world import World
from tokenservice.v1 import token_service_pb2 as tokens
from tokenservice.v1 import types_pb2 as types

RETRYING = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)


class Steady:
    """Callers that exchange their session and validate its access token again and again."""

    def __init__(self, world: World, address: str) -> None:
        self._world = world
        self._address = address
        self._stopping = False
        self.rounds = 0
        self.failures: list[str] = []

    @classmethod
    @asynccontextmanager
    async def calling(cls, world: World, address: str, callers: int = 8) -> AsyncIterator["Steady"]:
        """So many callers, for as long as the block lasts and each has answers to all its calls."""
        load = cls(world, address)
        tasks = [asyncio.create_task(load._call()) for _ in range(callers)]
        try:
            yield load
        finally:
            load._stopping = True
            await asyncio.gather(*tasks)

    async def more(self, rounds: int = 40) -> None:
        """Until they have gone on for so many more rounds."""
        goal = self.rounds + rounds
        while self.rounds < goal and not self.failures:
            await asyncio.sleep(0.02)

    async def _call(self) -> None:
        client = "demo-api"
        authorization = basic(client, self._world.clients[client])
        gateway = basic("demo-gateway", self._world.clients["demo-gateway"])
        async with Api(self._address, authorization, service_config=RETRYING) as api:
            issued = await api.tokens.Issue(
                tokens.IssueRequest(
                    client=tokens.ClientCredential(),
                    platform=types.PLATFORM_API,
                    audiences=["orders"],
                ),
                metadata=api.metadata,
            )
            token = issued.tokens.session_token
            while not self._stopping:
                exchanged = await outcome(api.exchange(token, exchange_id()))
                if isinstance(exchanged, str):
                    self.failures.append(exchanged)
                    return
                token = exchanged.tokens.session_token
                access = exchanged.tokens.access_tokens[0].token
                question = tokens.ValidateRequest(token=access, audience="orders")
                asked: grpc.aio.UnaryUnaryCall[Any, Any] = api.tokens.Validate(
                    question, metadata=(("authorization", gateway),)
                )
                answer = await outcome(asked)
                if isinstance(answer, str) or answer.verdict != types.VERDICT_ACTIVE:
                    self.failures.append(str(answer))
                    return
                self.rounds += 1
                await asyncio.sleep(0.005)
