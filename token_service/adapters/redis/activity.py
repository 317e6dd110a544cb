"""Shared marks by which several nodes write one session's activity once per interval."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from token_service.adapters.redis.gate import RedisGate
from token_service.adapters.redis.link import RedisAway
from token_service.domain.ports import ActivityMark

_CHUNK = 256
_FAMILY = "used"


class RedisActivityMarks:
    """Implements `ports.ActivityMarks`. A mark is gone when its interval has passed."""

    def __init__(self, gate: RedisGate) -> None:
        self._gate = gate

    async def read(self, session_ids: Sequence[UUID]) -> dict[UUID, ActivityMark]:
        """The marks that there are; none where Redis gives no answer."""
        found: dict[UUID, ActivityMark] = {}
        for start in range(0, len(session_ids), _CHUNK):
            chunk = session_ids[start : start + _CHUNK]

            keys = [self._key(session_id) for session_id in chunk]
            try:
                answers = await self._gate.ask_all(partial(_get, keys))
            except RedisAway:
                return found
            for session_id, answer in zip(chunk, answers, strict=True):
                mark = _parse(answer)
                if mark is not None:
                    found[session_id] = mark
        return found

    async def write(self, marks: Mapping[UUID, ActivityMark], now: float) -> None:
        """Tell the other nodes, until each interval has passed; best effort."""
        listed = [(key, mark) for key, mark in marks.items() if mark.until > now]
        for start in range(0, len(listed), _CHUNK):
            chunk = listed[start : start + _CHUNK]

            entries = [
                (self._key(session_id), f"{mark.at!r} {mark.until!r}", _milliseconds(mark, now))
                for session_id, mark in chunk
            ]
            try:
                await self._gate.ask_all(partial(_set, entries))
            except RedisAway:
                return

    def _key(self, session_id: UUID) -> str:
        return self._gate.key(_FAMILY, str(session_id))


def _get(keys: Sequence[str], pipeline: Any) -> None:  # noqa: ANN401 - of redis-py
    for key in keys:
        pipeline.get(key)


def _set(entries: Sequence[tuple[str, str, int]], pipeline: Any) -> None:  # noqa: ANN401
    for key, value, milliseconds in entries:
        pipeline.set(key, value, px=milliseconds)


def _milliseconds(mark: ActivityMark, now: float) -> int:
    return max(1, int((mark.until - now) * 1000))


def _parse(answer: object) -> ActivityMark | None:
    """A mark; None for none, for an error, and for what somebody else put there."""
    if not isinstance(answer, bytes):
        return None
    try:
        at, until = map(float, answer.split(b" "))
    except ValueError:
        return None
    return ActivityMark(at, until)
