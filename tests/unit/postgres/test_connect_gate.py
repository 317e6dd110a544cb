"""A crowd does not storm a server that refuses, and finds it as soon as it is there."""

import asyncpg
import pytest

from tests.support.hands import Hands
from token_service.adapters.postgres.connect_gate import ENDED_SECONDS, PAUSE_SECONDS, ConnectGate


class Server:
    """Fails as it is told to, and counts who comes."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.attempts = 0

    async def connect(self) -> int:
        self.attempts += 1
        if self.failure is not None:
            raise self.failure
        return self.attempts


@pytest.mark.parametrize(
    ("failure", "pause"),
    [
        (ConnectionRefusedError(), PAUSE_SECONDS),
        (asyncpg.TooManyConnectionsError(), PAUSE_SECONDS),
        (asyncpg.AdminShutdownError(), ENDED_SECONDS),
    ],
)
async def test_one_attempt_is_made_in_each_pause(failure: Exception, pause: float) -> None:
    clock, server = Hands(), Server()
    gate, server.failure = ConnectGate(clock), failure

    for attempts in (1, 2):
        for _ in range(100):
            with pytest.raises(type(failure)):
                await gate.through(server.connect)
        assert server.attempts == attempts
        clock.now += pause
    server.failure = None

    assert await gate.through(server.connect) == 3
    assert await gate.through(server.connect) == 4
