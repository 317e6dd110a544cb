"""What all loads share: callers, the tally, the validator's process, and what was made lately."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.soak.tally import Tally
from tests.soak.world import SoakWorld
from tests.support.api import Api
from tokenservice.v1 import types_pb2 as types

CONNECTIONS = 3
"""That a client keeps."""
RECENT = 5_000


@dataclass(frozen=True, slots=True)
class Caller:
    """One client over one of its connections."""

    client_id: str
    api: Api


@dataclass(frozen=True, slots=True)
class Person:
    """A user."""

    user_id: str
    username: str
    password: str = field(repr=False)


class Context:
    """One stretch of load: connections are opened for it and closed at its end.

    `expect` tells a validator in another process what it should decide about a token: verdict,
    revision from which that holds, token.
    """

    def __init__(
        self,
        world: SoakWorld,
        address: str,
        tally: Tally,
        people: list[Person],
        expect: Callable[[str, int, str], None],
    ) -> None:
        self.world = world
        self.address = address
        self.tally = tally
        self.people = people
        self.recent: deque[str] = deque(maxlen=RECENT)
        self.logged_in: dict[str, types.TokenSet] = {}
        self._expect = expect
        self._apis: dict[str, list[Api]] = {}

    def caller(self, client_id: str) -> Caller:
        """Any of the client's connections."""
        apis = self._apis.setdefault(client_id, [])
        if len(apis) < CONNECTIONS:
            apis.append(self.world.api(self.address, client_id))
            return Caller(client_id, apis[-1])
        return Caller(client_id, random.choice(apis))

    def tell(self, tokens: types.TokenSet, verdict: str = "ACTIVE", revision: int = 0) -> None:
        """Let validators judge these access tokens."""
        for access in tokens.access_tokens:
            self._expect(verdict, revision, access.token)
            if verdict == "ACTIVE":
                self.recent.append(access.token)

    async def close(self) -> None:
        """Close all connections."""
        apis, self._apis = self._apis, {}
        for several in apis.values():
            for api in several:
                await api.channel.close()
