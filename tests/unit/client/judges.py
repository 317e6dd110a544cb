"""Validators for the middleware's tests, which remember what they were asked."""

from typing import Any

from tokenservice import Decision
from tokenservice._decisions.decision import unanswered
from tokenservice.testing import Issuer


class SyncJudge:
    """Judges tokens of an issuer. While `down`, no question is answered."""

    def __init__(self, issuer: Issuer) -> None:
        self.down = False
        self.asked: list[dict[str, Any]] = []
        self._validator = issuer.sync_validator()

    def validate(self, token: str, **demanded: Any) -> Decision:
        self.asked.append(demanded)
        return (
            unanswered("unreachable") if self.down else self._validator.validate(token, **demanded)
        )


class Judge:
    """The same for event loops."""

    def __init__(self, issuer: Issuer) -> None:
        self.down = False
        self.asked: list[dict[str, Any]] = []
        self._validator = issuer.validator()

    async def validate(self, token: str, **demanded: Any) -> Decision:
        self.asked.append(demanded)
        if self.down:
            return unanswered("unreachable")
        return await self._validator.validate(token, **demanded)
