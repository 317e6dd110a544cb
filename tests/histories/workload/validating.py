"""Gateways: local validators and callers of nodes, with good, dead and forged tokens."""

import asyncio

from tests.histories.workload.operations import Access, Context
from tests.histories.world import WIDE

PAUSE = 0.004
"""Seconds between two tokens at one validator."""
YOUNG = 60.0
"""Seconds after which a token is not presented any more."""


class Gateway:
    """The validator beside one node."""

    def __init__(self, context: Context, place: int, pause: float = PAUSE) -> None:
        self._context = context
        self._place = place
        self._pause = pause

    async def run(self) -> None:
        """Until the load stops: one token after the other."""
        random = self._context.random
        while not self._context.stopping:
            await asyncio.sleep(self._pause)
            if random.random() < 0.01:
                await self._forged()
                continue
            access = self._pick()
            if access is None:
                continue
            about: dict[str, object] = {"access": access.number}
            if random.random() < 0.2:
                about["scopes"] = WIDE
            if random.random() < 0.01:
                about["min_revision"] = self._context.revision
            await self._context.decide(access.text, self._place, about)

    def _pick(self) -> Access | None:
        random = self._context.random
        pool = self._context.ended if random.random() < 0.3 else self._context.recent
        if not pool:
            return None
        # Most of the time what was handed out lately.
        number = len(pool) - 1 - int(min(random.expovariate(1 / 60), len(pool) - 1))
        access = pool[number]
        return access if self._context.recorder.now() - access.given < YOUNG else None

    async def _forged(self) -> None:
        access = self._pick()
        if access is None:
            return
        text = forged(access.text)
        await self._context.decide(text, self._place, {"forged": True})
        await self._context.ask(text, self._place, {"forged": True})


class Remote:
    """Asks a node, with every kind of requirement."""

    def __init__(self, context: Context, node: int) -> None:
        self._gateway = Gateway(context, node)
        self._context = context
        self._node = node

    async def run(self) -> None:
        """Until the load stops."""
        random = self._context.random
        while not self._context.stopping:
            access = self._gateway._pick()
            if access is None:
                await asyncio.sleep(0.05)
                continue
            scopes = WIDE if random.random() < 0.2 else ()
            revision = self._context.revision if random.random() < 0.05 else 0
            verdict = await self._context.validate(
                access, self._node, scopes=scopes, min_revision=revision
            )
            await asyncio.sleep(0.01 if verdict else 0.1)


def forged(token: str) -> str:
    """The token with another character in the middle of its last part."""
    place = len(token) - 12
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
