"""The sessions of a history, and what may have ended each of them.

The target of a revocation is a list:

- `["session", s]`, `["user", u]`, `["device", u, d]`, `["client", c]`, `["all"]`: sessions;
  `["own", c]`, `["own_device", c, d]`: a client's sessions without a user
- `["access", a]`, `["key", kid]`: access tokens alone
- `["reissue", c]`, `["reissue_user", u]`: access tokens that are to be replaced by narrower ones
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.histories.history import History, Operation, Outcome

Target = tuple[Any, ...]
OPENING = ("issue", "collect")
DEADLINE = 3.0
"""Seconds that a caller waits."""
OVER = frozenset({"TOKEN_REVOKED", "TOKEN_REUSED", "TOKEN_EXPIRED", "TOKEN_UNKNOWN"})
"""Reasons with which Exchange says that the session cannot go on."""


@dataclass(slots=True)
class Session:
    """A session whose tokens were handed out, by the operation that was acknowledged first."""

    number: int
    opened: Operation
    client: str
    user: int | None
    device: str
    parent: "Session | None"
    tokens: list[int] = field(default_factory=list)
    """Its session tokens in the order of their generations, as far as they were handed out."""

    def names(self) -> Iterator[Target]:
        """What a revocation may name to end it."""
        yield ("session", self.number)
        yield ("client", self.client)
        yield ("all",)
        if self.user is None:
            yield ("own", self.client)
            yield ("own_device", self.client, self.device)
        else:
            yield ("user", self.user)
            yield ("device", self.user, self.device)
        if self.parent is not None:
            yield from self.parent.names()


@dataclass(slots=True)
class Access:
    """An access token and the acknowledged operation that handed it out first."""

    number: int
    session: Session
    given: Operation
    scopes: frozenset[str]
    key: str


@dataclass(frozen=True, slots=True)
class End:
    """Something that may have ended a session: a revocation, or a token that was reused.

    It happened between `sent` and `latest`; `sure` when it did happen.
    """

    by: Operation | None
    sent: float
    latest: float
    sure: bool
    revision: int = 0
    keep: int | None = None


class Sessions:
    """Everything in a history by session."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.by_number: dict[int, Session] = {}
        self.of_token: dict[int, Session] = {}
        self.access: dict[int, Access] = {}
        self.presented: dict[int, list[Operation]] = defaultdict(list)
        self.successor: dict[int, int] = {}
        self.ends: dict[Target, list[End]] = defaultdict(list)
        self._unanswered: dict[str, list[float]] = defaultdict(list)
        for operation in sorted(history.operations, key=lambda one: one.done):
            self._index(operation)
        for operation in history.operations:
            if operation.kind == "exchange":
                self._note_reuse(operation)
            if operation.outcome is Outcome.UNKNOWN:
                insort(self._unanswered[operation.place], operation.done)
        self.ends["all",] += (
            End(None, loss.began, loss.fenced, sure=loss.everyone) for loss in history.losses
        )

    def _index(self, operation: Operation) -> None:
        about = operation.about
        if operation.kind == "exchange":
            self.presented[about["token"]].append(operation)
        if operation.ok and "next" in about:
            self._handed_out(operation)
        if "target" in about and operation.outcome is not Outcome.REFUSED:
            self.ends[tuple(about["target"])].append(
                End(
                    operation,
                    operation.sent,
                    operation.latest,
                    operation.ok,
                    about.get("revision", 0),
                    about.get("keep"),
                )
            )

    def _handed_out(self, operation: Operation) -> None:
        about = operation.about
        session = self.by_number.get(about["session"])
        if session is None:
            parent = self.by_number.get(about.get("parent", -1))
            user = parent.user if parent is not None else about.get("user")
            session = Session(
                about["session"], operation, about["client"], user, about.get("device", ""), parent
            )
            self.by_number[session.number] = session
        if operation.kind == "exchange":
            self.successor.setdefault(about["token"], about["next"])
        if about["next"] not in self.of_token:
            self.of_token[about["next"]] = session
            session.tokens.append(about["next"])
        for number, scopes, key in about["access"]:
            if number not in self.access:
                self.access[number] = Access(number, session, operation, frozenset(scopes), key)

    def _note_reuse(self, operation: Operation) -> None:
        session = self.of_token.get(operation.about["token"])
        if session is None:
            return
        reused = operation.reason == "TOKEN_REUSED"
        if reused or (operation.outcome is Outcome.UNKNOWN and self.may_be_reuse(operation)):
            self.ends["session", session.number].append(
                End(operation, operation.sent, operation.latest, sure=reused)
            )

    def may_be_reuse(self, operation: Operation) -> bool:
        """Whether another presenter of the same token, or one of its successor, may have come
        before the server looked at this operation."""
        token, once = operation.about["token"], operation.about["once"]
        others = (one for one in self.presented[token] if one.about["once"] != once)
        later = self.presented.get(self.successor.get(token, -1), ())
        return any(one.sent < operation.latest and _may_consume(one) for one in (*others, *later))

    def ends_of(self, session: Session) -> Iterator[End]:
        """What names it, whether or not it came in time to end it."""
        for name in session.names():
            for end in self.ends.get(name, ()):
                if end.keep != session.number:
                    yield end

    def died(self, session: Session) -> "End | None":
        """The first that surely ended it: it began after the session was there."""
        sure = (end for end in self.ends_of(session) if end.sure and end.sent > session.opened.done)
        return min(sure, key=lambda end: end.latest, default=None)

    def may_be_over(self, session: Session, by: float) -> bool:
        """Whether something may have ended the session before that time."""
        return self.lost(by) or any(
            end.sent < by and end.latest > session.opened.sent for end in self.ends_of(session)
        )

    def missed(self, place: str, since: float, until: float) -> bool:
        """Whether a call to a place had no answer in that time, or a deadline later: it may have
        been cut off from its database."""
        found = self._unanswered.get(place, [])
        after = bisect_left(found, since)
        return after < len(found) and found[after] <= until + DEADLINE

    def lost(self, by: float) -> bool:
        """Whether acknowledged writes may have been lost before that time."""
        return any(loss.began < by for loss in self.history.losses)

    def forgotten(self, end: End) -> bool:
        """Whether a loss may have taken it away: its writes, not what the fence then ended."""
        return end.by is not None and any(
            end.latest > loss.began and end.sent < loss.fenced for loss in self.history.losses
        )

    def excused(self, acknowledged: float, at: float) -> bool:
        """Whether what was acknowledged may be forgotten at that time: a loss has not been
        fenced yet."""
        return any(
            acknowledged <= loss.fenced and loss.began <= at <= loss.fenced
            for loss in self.history.losses
        )


def _may_consume(operation: Operation) -> bool:
    """Whether it advanced the session, or may have."""
    return operation.outcome is not Outcome.REFUSED or operation.reason == "TOKEN_REUSED"


def operations_of(history: History, *kinds: str) -> Iterable[Operation]:
    """The operations of these kinds."""
    return (operation for operation in history.operations if operation.kind in kinds)
