"""Records what is asked of the service, cheaply: the machine has other things to do."""

import base64
import json
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

import grpc

from tests.histories.history import History, Operation, Outcome
from tests.support.api import reason_of
from tokenservice.v1 import types_pb2 as types

PREFIX = "h-"
"""Request ids are this and the operation's number."""
_UNDECIDED = frozenset(
    {"STORE_UNAVAILABLE", "DEADLINE_EXCEEDED", "SHUTTING_DOWN", "TRUST_STALE", "INTERNAL"}
)
"""Reasons after which a change may have been made or not."""
_NO_ANSWER = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    }
)

Reply = TypeVar("Reply")


class Recorder:
    """The operations of one run, in the order in which they ended."""

    def __init__(self, name: str, seed: int, limit: float) -> None:
        self.history = History(name, seed, limit)
        self._numbers: dict[Hashable, int] = {}
        self._operations = 0

    @staticmethod
    def now() -> float:
        """The clock of the history."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def number(self, text: Hashable) -> int:
        """Stands for a text: the same number for the same text."""
        known = self._numbers.get(text)
        if known is None:
            known = self._numbers[text] = len(self._numbers) + 1
        return known

    def texts(self) -> dict[Hashable, int]:
        """All texts that numbers stand for."""
        return self._numbers

    def begin(self, kind: str, place: str, about: dict[str, Any]) -> Operation:
        """An operation that is being sent."""
        self._operations += 1
        now = self.now()
        return Operation(self._operations, kind, place, now, now, Outcome.UNKNOWN, "", about)

    def end(self, operation: Operation, outcome: Outcome, reason: str = "") -> None:
        """It has ended so."""
        operation.done = self.now()
        operation.outcome = outcome
        operation.reason = reason
        self.history.operations.append(operation)

    async def call(
        self,
        kind: str,
        place: str,
        call: Callable[[str], Awaitable[Reply]],
        about: dict[str, Any],
    ) -> tuple[Operation, Reply | None]:
        """Make a call with a request id; the reply, or None."""
        operation = self.begin(kind, place, about)
        try:
            reply = await call(f"{PREFIX}{operation.number}")
        except grpc.aio.AioRpcError as error:
            reason = reason_of(error)
            unknown = reason in _UNDECIDED or (not reason and error.code() in _NO_ANSWER)
            outcome = Outcome.UNKNOWN if unknown else Outcome.REFUSED
            self.end(operation, outcome, reason or error.code().name)
            return operation, None
        except BaseException:
            self.end(operation, Outcome.UNKNOWN, "CANCELLED")
            raise
        self.end(operation, Outcome.OK)
        return operation, reply

    def handed_out(self, operation: Operation, tokens: types.TokenSet, *, replayed: bool) -> None:
        """Add the tokens of an answer to the record of its operation."""
        operation.about |= {
            "session": self.number(("session", tokens.session_id)),
            "next": self.number(tokens.session_token or rolling_id(tokens.access_tokens[0].token)),
            "access": [
                [self.number(one.token), list(one.scopes), key_of(one.token)]
                for one in tokens.access_tokens
            ],
        }
        if replayed:
            operation.about["replayed"] = True


def rolling_id(token: str) -> str:
    """What is the same in each text of one rolling token: its `jti`. The signatures of a replay
    differ where the signing key has changed."""
    payload = token.split(".")[1]
    decoded = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return str(decoded["jti"])


_KEYS: dict[str, str] = {}


def key_of(token: str) -> str:
    """The id of the key that signed a JWT; empty for an opaque token."""
    header, dot, _ = token.partition(".")
    if not dot:
        return ""
    if header not in _KEYS:
        decoded = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
        _KEYS[header] = decoded["kid"]
    return _KEYS[header]
