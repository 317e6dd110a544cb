"""What was acknowledged can be used, until something may have ended it."""

from collections.abc import Iterator

from tests.histories.checker.sessions import OVER, Access, Sessions, operations_of
from tests.histories.checker.violation import Violation, violated
from tests.histories.history import Operation, Outcome

SESSION, TOKEN, CAUSE = "session usable", "token usable", "truth about causes"
FRESH = 150.0
"""Seconds for which an access token is surely not over, whatever a node's clock says."""
_NEVER = frozenset({"TOKEN_MALFORMED", "INTERNAL"})
"""Reasons that no recorded call deserves."""


def check_usability(sessions: Sessions) -> Iterator[Violation]:
    """Refusals without a reason."""
    for one in operations_of(sessions.history, "exchange"):
        session = sessions.of_token.get(one.about["token"])
        if session is None or one.outcome is not Outcome.REFUSED or one.reason not in OVER:
            continue
        # Whether TOKEN_REUSED has a ground is a question of the chain.
        if one.reason != "TOKEN_REUSED" and not sessions.may_be_over(session, one.done):
            text = f"session {session.number} reads {one.reason}, and nothing ended it"
            yield violated(SESSION, text, session.opened, one)
    for one in operations_of(sessions.history, "validate"):
        if one.ok and one.reason != "ACTIVE" and "access" in one.about:
            access = sessions.access.get(one.about["access"])
            if access is not None and not _grounds(sessions, access, one):
                text = f"an access token reads {one.reason}, and nothing ended it"
                yield violated(TOKEN, text, access.given, one)
    for one in sessions.history.operations:
        if one.reason in _NEVER:
            yield violated(CAUSE, f"{one.kind} was answered {one.reason}", one)


def _grounds(sessions: Sessions, access: Access, one: Operation) -> bool:
    """Whether something may have ended the token, or the requirement goes beyond it."""
    if one.done - access.given.sent > FRESH:
        return True
    if one.reason == "INSUFFICIENT_SCOPE":
        return not access.scopes.issuperset(one.about.get("scopes", ()))
    if one.reason == "UNKNOWN" and (_new_key(sessions, one) or _behind(sessions, access, one)):
        return True
    names = [
        *(("access", number) for number in _siblings(sessions, access)),
        ("key", access.key),
        ("reissue", access.session.client),
        ("reissue_user", access.session.user),
    ]
    names += [("user", access.session.user)]  # spares a session, and never its access tokens
    return sessions.may_be_over(access.session, one.done) or any(
        end.sent < one.done for name in names for end in sessions.ends.get(name, ())
    )


def _new_key(sessions: Sessions, one: Operation) -> bool:
    """Whether a key may just have been replaced: its successor signs before all have heard of it,
    and who is cut off from the nodes cannot ask."""
    return any(
        end.sent < one.done and one.sent <= end.latest + sessions.history.limit
        for name, ends in sessions.ends.items()
        if name[0] == "key"
        for end in ends
    )


def _siblings(sessions: Sessions, access: Access) -> list[int]:
    """The access tokens that have the same identity: opaque ones of one generation."""
    if access.key:
        return [access.number]
    given = access.given.about
    exchanges = sessions.presented.get(given["token"], ()) if "token" in given else ()
    return [
        number
        for one in (access.given, *exchanges)
        if one.ok and one.about["next"] == given["next"]
        for number, _, _ in one.about["access"]
    ]


def _behind(sessions: Sessions, access: Access, one: Operation) -> bool:
    """Whether the node may have read a primary that was succeeded before the token was made."""
    divided, limit = sessions.history.divided, sessions.history.limit
    return divided < access.given.done and one.sent < divided + limit
