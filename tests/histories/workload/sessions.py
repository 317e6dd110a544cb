"""Holders of sessions: they exchange, race, retry, lose answers, get robbed, and log out."""

import asyncio
import os

from tests.histories.history import Operation, Outcome
from tests.histories.workload.operations import Context, Held
from tests.histories.world import APPS, ROLLING
from tokenservice.v1 import session_service_pb2 as sessions_pb
from tokenservice.v1 import token_service_pb2 as pb

RETRIES = 40
"""Of an exchange whose outcome is unknown; a second passes between two at the most."""
STEPS = 6
"""Exchanges in the life of a session."""


class Holder:
    """One session after the other."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._random = context.random

    async def run(self) -> None:
        """Until the load stops."""
        while not self._context.stopping:
            client = self._random.choice(APPS)
            device = self._random.choice(("", "till-1", "till-2"))
            held = await self._context.open(client, self._context.node(), device)
            if held is None:
                await asyncio.sleep(0.1)
                continue
            await self.live(held)

    async def live(self, held: Held) -> None:
        """From the first exchange to the end of a session."""
        for _ in range(self._random.randint(1, STEPS)):
            if self._context.stopping:
                self._context.left.append(held)
                return
            step = self._random.choices(
                (self._plainly, self._racing, self._twice, self._robbed), (12, 3, 3, 1)
            )[0]
            following = await step(held)
            if following is None:
                await self._over(held)
                return
            held = following
            await self._used(held)
        await self._end(held)

    # --- exchanging ---

    async def _plainly(self, held: Held) -> Held | None:
        return await self.insist(held, os.urandom(16))

    async def insist(self, held: Held, once: bytes) -> Held | None:
        """Exchange, and repeat it on any node until there is an answer."""
        for attempt in range(RETRIES):
            operation, following = await self._context.exchange(held, self._context.node(), once)
            if following is not None or operation.outcome is Outcome.REFUSED:
                return following
            if self._context.stopping and attempt > 2:
                return None
            await asyncio.sleep(min(0.05 * 2**attempt, 1.0))
        return None

    async def _racing(self, held: Held) -> Held | None:
        """Several requests with one id at once, on both nodes."""
        once = os.urandom(16)
        racers = [
            self._context.exchange(held, number % 2, once)
            for number in range(self._random.randint(2, 4))
        ]
        done = await asyncio.gather(*racers)
        return _successor(done) or await self.insist(held, once)

    async def _twice(self, held: Held) -> Held | None:
        """A retry of what was answered: on the other node, as when an answer got lost."""
        once, node = os.urandom(16), self._context.node()
        first = await self._context.exchange(held, node, once)
        again = await self._context.exchange(held, 1 - node, once)
        return _successor((first, again)) or await self.insist(held, once)

    async def _robbed(self, held: Held) -> None:
        """Two presenters with ids of their own, at once or one after the other."""
        owner = self._context.exchange(held, self._context.node(), os.urandom(16))
        thief = self._context.exchange(held, self._context.node(), os.urandom(16))
        at_once = self._random.random() < 0.5
        done = await asyncio.gather(owner, thief) if at_once else [await owner, await thief]
        following = _successor(done)
        if following is not None:
            await self._context.exchange(following, self._context.node(), os.urandom(16))

    # --- using ---

    async def _used(self, held: Held) -> None:
        for access in held.access:
            await asyncio.gather(
                *(self._context.validate(access, node) for node in range(2)),
                *(
                    self._context.decide(access.text, place, {"access": access.number})
                    for place in range(2)
                ),
            )

    # --- ending ---

    async def _end(self, held: Held) -> None:
        end = self._random.choices(
            (self._by_token, self._by_id, self._access_alone, self._others, None), (3, 3, 1, 1, 2)
        )[0]
        if end is None:
            return
        operation = await end(held, self._context.node())
        if operation is not None and operation.ok:
            await self._present_again(held, operation)
        await self._over(held)

    async def _by_token(self, held: Held, node: int) -> Operation:
        request = pb.RevokeRequest(token=held.token)
        target = ["session", held.session]
        operation, _ = await self._context.revoke(target, node, held.client, request=request)
        return operation

    async def _by_id(self, held: Held, node: int) -> Operation:
        if self._random.random() < 0.3:
            named = pb.RevokeRequest(session_id=held.session_id)
            target = ["session", held.session]
            operation, _ = await self._context.revoke(target, node, held.client, request=named)
            return operation
        request = sessions_pb.RevokeSessionRequest(session_id=held.session_id)
        operation, _ = await self._context.revoke(
            ["session", held.session],
            node,
            held.client,
            kind="revoke_session",
            method="sessions.RevokeSession",
            request=request,
        )
        return operation

    async def _access_alone(self, held: Held, node: int) -> None:
        if held.client == ROLLING:
            return  # its access token is the session's token as well
        for access in held.access:
            request = pb.RevokeRequest(token=access.text)
            target = ["access", access.number]
            operation, _ = await self._context.revoke(target, node, held.client, request=request)
            if operation.ok:
                revision = operation.about["revision"]
                await self._context.validate(access, 1 - node, min_revision=revision)
        await self.insist(held, os.urandom(16))

    async def _others(self, held: Held, node: int) -> None:
        """The subject is the client itself: all its sessions but this one."""
        if self._random.random() > 0.1:
            return
        request = sessions_pb.RevokeOtherSessionsRequest(session_token=held.token)
        await self._context.revoke(
            ["own", held.client],
            node,
            held.client,
            kind="revoke_others",
            method="sessions.RevokeOtherSessions",
            request=request,
            about={"keep": held.session},
        )
        await self.insist(held, os.urandom(16))

    async def _present_again(self, held: Held, revoked: Operation) -> None:
        """At once where it was revoked, with its revision elsewhere, and exchanged."""
        node = int(revoked.place.removeprefix("node-"))
        revision = revoked.about.get("revision", 0)
        for access in held.access:
            await self._context.validate(access, node)
            await self._context.validate(access, 1 - node, min_revision=revision)
        await self._context.exchange(held, 1 - node, os.urandom(16))

    async def _over(self, held: Held) -> None:
        self._context.ended.extend(held.access)


def _successor(done: object) -> Held | None:
    """What one of the exchanges gave."""
    assert isinstance(done, list | tuple)
    return next((following for _, following in done if following is not None), None)
