"""A service of a few lines, and callers of it: histories that are right by construction.

Every operation happens at one moment between its sending and its answer. Where the outcome is
unknown it may also happen later, or never. A `bug` makes the service break one promise.
"""

import random
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from tests.histories.history import History, Operation, Outcome

LIMIT = 5.0


class Bug(Enum):
    """What the service gets wrong."""

    FORGETS_REVOCATIONS = auto()
    SERVES_EVERYBODY = auto()
    NEVER_HEARS = auto()
    LOSES_SESSIONS = auto()


@dataclass
class _Session:
    number: int
    client: str
    tokens: list[int]
    made_by: int = 0
    revoked_at: float | None = None
    access: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=list)
    """Its tokens that somebody was told."""


class Simulation:
    """One seed, one history."""

    def __init__(self, seed: int, bug: Bug | None = None) -> None:
        self._random = random.Random(seed)
        self._bug = bug
        self._now = 0.0
        self._names = iter(range(1, 1_000_000))
        self._sessions: list[_Session] = []
        self._late: list[tuple[float, Any]] = []
        self.history = History("simulated", seed, LIMIT)

    def run(self, operations: int) -> History:
        """So many operations."""
        for _ in range(operations):
            self._now += self._random.uniform(0, 0.4)
            for due, work in [one for one in self._late if one[0] <= self._now]:
                self._late.remove((due, work))
                work()
            works = (self._issue, self._exchange, self._exchange, self._validate, self._revoke)
            weights = (2, 4, 2, 6, 1)
            self._random.choices(works, weights)[0]()
        return self.history

    def _tell(self, kind: str, work: Any, **about: Any) -> None:
        """Let `work` happen, and record what the caller sees of it: (reason, what was answered)."""
        sent, done = (
            self._now - self._random.uniform(0, 2),
            self._now + self._random.uniform(0, 2),
        )
        outcome, reason, answer = Outcome.OK, "", {}
        if self._random.random() < 0.1:
            outcome, reason = Outcome.UNKNOWN, "DEADLINE_EXCEEDED"
            if self._random.random() < 0.7:
                self._late.append((self._now + self._random.uniform(0, 20), work))
        else:
            reason, answer = work()
            self._hand_out(answer)
            if reason and kind != "validate":
                outcome = Outcome.REFUSED
        number = len(self.history.operations) + 1
        place = "validator-0" if kind == "validate" else "node-0"
        self.history.operations.append(
            Operation(number, kind, place, sent, done, outcome, reason, {**about, **answer})
        )

    def _hand_out(self, answer: dict[str, Any]) -> None:
        for session in self._sessions:
            if session.number == answer.get("session") and answer["next"] not in session.known:
                session.known.append(answer["next"])
                session.access.append(answer["access"][0][0])

    def _any(self) -> _Session | None:
        known = [session for session in self._sessions[-12:] if session.known]
        return self._random.choice(known) if known else None

    def _tokens(self, session: _Session) -> dict[str, Any]:
        access = [[next(self._names), ["orders.read"], "k1"]]
        return {"session": session.number, "next": session.tokens[-1], "access": access}

    def _issue(self) -> None:
        client = self._random.choice(("app", "shop"))

        def work() -> tuple[str, dict[str, Any]]:
            session = _Session(next(self._names), client, [next(self._names)])
            self._sessions.append(session)
            return "", self._tokens(session)

        self._tell("issue", work, client=client)

    def _exchange(self) -> None:
        session = self._any()
        if session is None:
            return
        old = self._random.random() < 0.2
        token = self._random.choice(session.known) if old else session.known[-1]
        # Who repeats a token has, as a rule, the id with which it was exchanged.
        again = self._random.random() < 0.5
        once = session.made_by if again and session.made_by else next(self._names)

        def work() -> tuple[str, dict[str, Any]]:
            return self._rotate(session, token, once)

        self._tell("exchange", work, client=session.client, token=token, once=once)

    def _rotate(self, session: _Session, token: int, once: int) -> tuple[str, dict[str, Any]]:
        if session.revoked_at is not None:
            return "TOKEN_REVOKED", {}
        if self._bug is Bug.LOSES_SESSIONS and self._random.random() < 0.1:
            return "TOKEN_EXPIRED", {}
        if token == session.tokens[-1]:
            session.tokens.append(next(self._names))
            session.made_by = once
            return "", self._tokens(session)
        is_former = len(session.tokens) > 1 and token == session.tokens[-2]
        if is_former and (once == session.made_by or self._bug is Bug.SERVES_EVERYBODY):
            return "", {**self._tokens(session), "replayed": True}
        session.revoked_at = self._now
        return "TOKEN_REUSED", {}

    def _validate(self) -> None:
        session = self._any()
        if session is None or not session.access:
            return
        access = self._random.choice(session.access)

        def work() -> tuple[str, dict[str, Any]]:
            seen = self._now - self._random.uniform(0, LIMIT)
            deaf = self._bug is Bug.NEVER_HEARS
            over = session.revoked_at is not None and session.revoked_at <= seen
            return ("REVOKED" if over and not deaf else "ACTIVE"), {}

        self._tell("validate", work, access=access)

    def _revoke(self) -> None:
        session = self._any()
        if session is None:
            return
        of_client = self._random.random() < 0.2
        target = ["client", session.client] if of_client else ["session", session.number]

        def work() -> tuple[str, dict[str, Any]]:
            if self._bug is not Bug.FORGETS_REVOCATIONS:
                for one in self._sessions:
                    named = one.client == session.client if of_client else one is session
                    if named and one.revoked_at is None:
                        one.revoked_at = self._now
            return "", {}

        self._tell("revoke", work, target=target)
