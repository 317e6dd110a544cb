"""A session's tokens form one chain: each is exchanged once, and reuse ends the session."""

from collections.abc import Iterator
from itertools import pairwise

from tests.histories.checker.sessions import Session, Sessions, operations_of
from tests.histories.checker.violation import Violation, violated
from tests.histories.history import Operation, Outcome

SUCCESSOR, PRESENTERS, REUSE, LOST = "one successor", "one presenter", "reuse", "nothing lost"
_OF_TOKEN = frozenset({"TOKEN_UNKNOWN", "TOKEN_MALFORMED", "TOKEN_SUPERSEDED"})


def check_chains(sessions: Sessions) -> Iterator[Violation]:
    """What breaks the chain of a session."""
    for operations in sessions.presented.values():
        yield from _of_token(sessions, [one for one in operations if one.ok])
        yield from _second_presenters(sessions, operations)
    yield from _groundless_reuse(sessions)
    if sessions.history.generations is not None and not sessions.history.losses:
        for session in sessions.by_number.values():
            yield from _generation(sessions, session)


def _of_token(sessions: Sessions, done: list[Operation]) -> Iterator[Violation]:
    """The acknowledged exchanges of one token are one exchange."""
    for one, other in pairwise(done):
        if sessions.excused(min(one.done, other.done), max(one.done, other.done)):
            continue
        if one.about["next"] != other.about["next"]:
            yield violated(SUCCESSOR, "a token has two successors", one, other)
        if one.about["once"] != other.about["once"]:
            yield violated(PRESENTERS, "two presenters were served", one, other)


def _second_presenters(sessions: Sessions, operations: list[Operation]) -> Iterator[Violation]:
    """Who comes after an acknowledged exchange with another id is told that the session ended."""
    first = min((one for one in operations if one.ok), key=lambda one: one.done, default=None)
    if first is None:
        return
    for later in operations:
        wrong = later.outcome is Outcome.REFUSED and later.reason in _OF_TOKEN
        if wrong and later.sent > first.done and not sessions.lost(later.done):
            yield violated(REUSE, f"an exchanged token reads {later.reason}", first, later)


def _groundless_reuse(sessions: Sessions) -> Iterator[Violation]:
    """TOKEN_REUSED says that another one presented the token."""
    for operation in operations_of(sessions.history, "exchange"):
        if operation.reason != "TOKEN_REUSED" or sessions.lost(operation.done):
            continue
        if not sessions.may_be_reuse(operation):
            yield violated(REUSE, "the only presenter is told TOKEN_REUSED", operation)


def _generation(sessions: Sessions, session: Session) -> Iterator[Violation]:
    """The row's generation at the end is that of the last token, but for unknown exchanges."""
    assert sessions.history.generations is not None
    stored = sessions.history.generations.get(session.number)
    if stored is None:
        yield violated(LOST, f"the row of session {session.number} is gone", session.opened)
        return
    acknowledged = len(session.tokens)
    waiting = {
        (one.about["token"], one.about["once"])
        for token in session.tokens
        for one in sessions.presented.get(token, ())
        if not one.ok
    }
    if not acknowledged <= stored <= acknowledged + len(waiting):
        text = f"session {session.number} has generation {stored} and not {acknowledged}"
        yield violated(LOST, text, session.opened)
