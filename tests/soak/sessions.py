"""Sessions that are opened, exchanged, and come to their end in every way there is."""

import asyncio
import random
import secrets
from collections import deque
from dataclasses import dataclass

from tests.soak.context import Caller, Context
from tests.soak.day import SESSION_SECONDS
from tests.soak.tally import GaveUpError
from tests.soak.world import APPS, AUDIENCE
from tests.support.api import exchange_id
from tokenservice.v1 import session_service_pb2 as session_pb
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

EXCHANGES = 2
PAUSE = 0.2, 0.7
"""Seconds between the steps of a life."""
REVOKED, REVOKED_BY_ID, REUSED, REMEMBERED = 0.20, 0.05, 0.02, 0.05
"""Shares of the sessions that end so; the others are left to expire, and of those the last share
are presented once more when they are over."""
TOO_LATE = ("OK", "DEADLINE_EXCEEDED", "UNAVAILABLE STORE_UNAVAILABLE")


@dataclass(slots=True)
class Over:
    """A session token that nothing can be had for any more."""

    client: str
    token: str
    at: float


class Sessions:
    """Opens sessions with app keys and passwords."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._over: deque[Over] = deque()

    async def session(self) -> None:
        """One whole life, in a few seconds."""
        context = self._context
        client = random.choice(APPS)
        tokens = await self.open(context.caller(client))
        former = session_token(tokens)
        for _ in range(EXCHANGES):
            await asyncio.sleep(random.uniform(*PAUSE))
            former, tokens = session_token(tokens), await self.exchange(client, tokens)
        await asyncio.sleep(random.uniform(*PAUSE))
        await self._end(client, former, tokens)

    async def open(self, caller: Caller) -> types.TokenSet:
        """A session of the client itself; validators hear of its access token."""
        request = pb.IssueRequest(
            client=pb.ClientCredential(), platform=types.PLATFORM_API, audiences=[AUDIENCE]
        )
        call = caller.api.tokens.Issue(request, metadata=caller.api.metadata, timeout=20)
        issued = await self._context.tally.call("open a session", call)
        self._context.tell(issued.tokens)
        return issued.tokens

    async def exchange(
        self, client: str, tokens: types.TokenSet, once: bytes = b""
    ) -> types.TokenSet:
        """The successor."""
        api = self._context.caller(client).api
        call = api.tokens.Exchange(
            pb.ExchangeRequest(token=session_token(tokens), exchange_id=once or exchange_id()),
            metadata=api.metadata,
            timeout=20,
        )
        exchanged = await self._context.tally.call("exchange", call)
        self._context.tell(exchanged.tokens)
        return exchanged.tokens

    async def _end(self, client: str, former: str, tokens: types.TokenSet) -> None:
        context, share = self._context, random.random()
        api, token = context.caller(client).api, session_token(tokens)
        if share < REVOKED:
            revoke = api.tokens.Revoke(
                pb.RevokeRequest(token=token), metadata=api.metadata, timeout=20
            )
            revoked = await context.tally.call("revoke", revoke)
            context.tell(tokens, "REVOKED", revoked.revision)
        elif share < REVOKED + REVOKED_BY_ID:
            request = session_pb.RevokeSessionRequest(session_id=tokens.session_id)
            await context.tally.call(
                "revoke a session by id",
                api.sessions.RevokeSession(request, metadata=api.metadata, timeout=20),
            )
        elif share < REVOKED + REVOKED_BY_ID + REUSED:
            again = api.tokens.Exchange(
                pb.ExchangeRequest(token=former, exchange_id=exchange_id()),
                metadata=api.metadata,
                timeout=20,
            )
            await context.tally.refused(
                "exchange a token twice", again, "UNAUTHENTICATED TOKEN_REUSED"
            )
        elif share < REVOKED + REVOKED_BY_ID + REUSED + REMEMBERED:
            at = asyncio.get_running_loop().time() + SESSION_SECONDS + 2
            self._over.append(Over(client, token, at))

    async def exchange_expired(self) -> None:
        """Present what has expired meanwhile."""
        now = asyncio.get_running_loop().time()
        while self._over and self._over[0].at <= now:
            one = self._over.popleft()
            api = self._context.caller(one.client).api
            call = api.tokens.Exchange(
                pb.ExchangeRequest(token=one.token, exchange_id=exchange_id()),
                metadata=api.metadata,
                timeout=20,
            )
            await self._context.tally.refused(
                "exchange an expired token", call, "UNAUTHENTICATED TOKEN_EXPIRED"
            )

    async def validate(self) -> None:
        """Ask the server about a token that was issued lately."""
        context = self._context
        if not context.recent:
            return
        token = random.choice(context.recent)
        api = context.caller("gateway").api
        call = api.tokens.Validate(
            pb.ValidateRequest(token=token, audience=AUDIENCE), metadata=api.metadata, timeout=10
        )
        await context.tally.call("validate", call)

    async def login(self) -> None:
        """A user logs in, on a PC or a phone; pairings use the session afterwards."""
        context = self._context
        client, platform = random.choice(
            (("web", types.PLATFORM_WEB), ("mobile", types.PLATFORM_MOBILE))
        )
        person = random.choice(context.people)
        tokens = await context.tally.call(
            "log in",
            context.caller(client).api.login(
                person.username, person.password, platform=platform, audiences=[AUDIENCE]
            ),
        )
        context.tell(tokens)
        context.logged_in[client] = tokens

    async def wrong_password(self) -> None:
        """Somebody guesses."""
        call = self._context.caller("web").api.login(
            f"nobody-{secrets.token_hex(6)}", "a wrong password", audiences=[AUDIENCE]
        )
        await self._context.tally.refused(
            "wrong password", call, "UNAUTHENTICATED CREDENTIALS_INVALID"
        )

    async def cancelled(self) -> None:
        """Calls that are cancelled on their way, and settled by a repetition with the same id."""
        context, client = self._context, random.choice(APPS[:4])
        api = context.caller(client).api
        tokens = await self.open(context.caller(client))
        once = exchange_id()
        request = pb.ExchangeRequest(token=session_token(tokens), exchange_id=once)
        call = api.tokens.Exchange(request, metadata=api.metadata)
        await context.tally.cancelled("cancelled exchange", call, random.uniform(0, 0.01))
        await self.exchange(client, tokens, once)

    async def late(self) -> None:
        """Calls whose deadline has passed before anybody can answer."""
        context, client = self._context, random.choice(APPS)
        api = context.caller(client).api
        request = pb.IssueRequest(
            client=pb.ClientCredential(), platform=types.PLATFORM_API, audiences=[AUDIENCE]
        )
        call = api.tokens.Issue(
            request, metadata=api.metadata, timeout=random.choice((0.0005, 0.002, 0.004))
        )
        try:
            await context.tally.call("deadline too short", call, *TOO_LATE)
        except GaveUpError:
            return


def session_token(tokens: types.TokenSet) -> str:
    """What the next exchange takes: of a rolling session the one token."""
    return tokens.session_token or tokens.access_tokens[0].token
