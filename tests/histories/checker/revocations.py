"""What was revoked, or never was, is not accepted: by Exchange at once, by Validate in time."""

from collections.abc import Iterator

from tests.histories.checker.sessions import OVER, Access, End, Session, Sessions, operations_of
from tests.histories.checker.violation import Violation, violated
from tests.histories.history import Operation, Outcome

EXCHANGED, ACCEPTED, REVIVED = "revoked, exchanged", "revoked, accepted", "revived"
NEVER_WAS, CHILD = "never was", "child of the revoked"


def check_revocations(sessions: Sessions) -> Iterator[Violation]:
    """Exchanges and verdicts that come too late."""
    for session in sessions.by_number.values():
        yield from _exchanges(sessions, session)
    yield from _openings(sessions)
    yield from _verdicts(sessions)


def _exchanges(sessions: Sessions, session: Session) -> Iterator[Violation]:
    died = sessions.died(session)
    presented = [one for token in session.tokens for one in sessions.presented.get(token, ())]
    over = min(
        (one for one in presented if one.outcome is Outcome.REFUSED and one.reason in OVER),
        key=lambda one: one.done,
        default=None,
    )
    for one in presented:
        if not one.ok:
            continue
        if died is not None and one.sent > died.latest and not _excused(sessions, died, one):
            text = f"session {session.number} was revoked and exchanged"
            yield violated(EXCHANGED, text, died.by, one)
        elif (
            over is not None and one.sent > over.done and not sessions.excused(over.done, one.done)
        ):
            text = f"session {session.number} read {over.reason} and was exchanged"
            yield violated(REVIVED, text, over, one)


def _excused(sessions: Sessions, end: End, at: Operation) -> bool:
    return end.by is not None and sessions.excused(end.by.done, at.done)


def _openings(sessions: Sessions) -> Iterator[Violation]:
    """A pairing whose approver had been revoked gives nothing."""
    for session in sessions.by_number.values():
        if session.parent is None or session.opened.about.get("replayed"):
            continue
        died = sessions.died(session.parent)
        if died is None or _excused(sessions, died, session.opened):
            continue
        if session.opened.sent > died.latest:
            text = f"session {session.number} was paired by a revoked one"
            yield violated(CHILD, text, died.by, session.opened)


def _verdicts(sessions: Sessions) -> Iterator[Violation]:
    deaths: dict[int, list[End]] = {}
    for one in operations_of(sessions.history, "validate"):
        if not one.ok or one.reason != "ACTIVE":
            continue
        if one.about.get("forged"):
            yield violated(NEVER_WAS, "a token that was never issued is ACTIVE", one)
            continue
        access = sessions.access.get(one.about["access"])
        if access is None:
            continue
        if access.number not in deaths:
            deaths[access.number] = _ends(sessions, access)
        for end in deaths[access.number]:
            if _too_late(sessions, end, one) and not _excused(sessions, end, one):
                yield violated(ACCEPTED, "a revoked token is ACTIVE", access.given, end.by, one)
                break


def _ends(sessions: Sessions, access: Access) -> list[End]:
    """What surely ended an access token, or its session."""
    of_token = (
        *sessions.ends.get(("access", access.number), ()),
        *sessions.ends.get(("key", access.key), ()),
        *sessions.ends.get(("reissue", access.session.client), ()),
    )
    own = (end for end in of_token if end.sent > access.given.done)
    return [
        end
        for end in (
            *own,
            *(
                end
                for end in sessions.ends_of(access.session)
                if end.sent > access.session.opened.done
            ),
        )
        if end.sure
    ]


def _too_late(sessions: Sessions, end: End, one: Operation) -> bool:
    """Whether whoever said ACTIVE had to know."""
    if one.sent > end.latest + sessions.history.limit:
        return True
    if one.sent <= end.latest or end.by is None:
        return False
    if end.revision and one.about.get("min_revision", 0) >= end.revision:
        return True
    # The process that revoked knows, unless it could not read from the database any more.
    if sessions.history.workers > 1:
        return False
    return end.by.place == one.place and not sessions.missed(one.place, end.sent, one.done)
