"""Shared markers by which several nodes write one session's activity once per interval."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from token_service.adapters.redis.connection import RedisClient
from token_service.adapters.redis.gate import RedisAway, RedisGate

_CHUNK = 256
_MILLISECOND = timedelta(milliseconds=1)


class ActivityMarks:
    """Implements `ports.ActivityMarker`: the node that sets a session's marker writes.

    `node` tells this node from the others. Its own markers do not keep it from writing: it asks
    again only when Postgres failed it (Redis 7 or newer, for SET with NX and GET).
    """

    def __init__(self, gate: RedisGate, interval: timedelta, node: bytes) -> None:
        self._gate = gate
        self._milliseconds = interval // _MILLISECOND
        self._node = node

    async def unmarked(self, session_ids: Sequence[UUID]) -> list[UUID]:
        """List those that this node shall write now, in the order given and each once.

        What Redis gives no answer for is among them.
        """
        wanted = list(dict.fromkeys(session_ids))
        chosen: list[UUID] = []
        for start in range(0, len(wanted), _CHUNK):
            chosen += await self._mark(wanted[start : start + _CHUNK])
        return chosen

    async def _mark(self, chunk: Sequence[UUID]) -> list[UUID]:
        async def run(client: RedisClient) -> list[Any]:
            pipeline: Any = client.pipeline(transaction=False)
            for session_id in chunk:
                key = self._gate.key("active", str(session_id))
                pipeline.set(key, self._node, nx=True, get=True, px=self._milliseconds)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            return answers

        try:
            answers = await self._gate.ask(run)
        except RedisAway:
            return list(chunk)
        return [one for one, holder in zip(chunk, answers, strict=True) if not self._taken(holder)]

    def _taken(self, holder: object) -> bool:
        """Whether the former value is another node's marker: not none, not an error."""
        return isinstance(holder, bytes) and holder != self._node
