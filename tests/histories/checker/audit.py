"""The audit log has a row for every acknowledged change, and for no other."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from math import inf

from tests.histories.checker.sessions import Sessions
from tests.histories.checker.violation import Violation, violated
from tests.histories.history import Operation, Outcome

AUDIT = "audit"
ACTIONS = {
    "issue": "session.issue",
    "exchange": "session.exchange",
    "collect": "pairing.collect",
    "issue_code": "code.issue",
    "redeem_code": "code.redeem",
    "create_user": "user.create",
    "set_password": "user.set_password",
    "disable_user": "user.disable",
    "enable_user": "user.enable",
    "delete_user": "user.delete",
    "disable_client": "client.disable",
    "enable_client": "client.enable",
    "update_policy": "client.update_policy",
    "rotate_key": "key.rotate",
    "compromise_key": "key.compromise",
    "revoke_code": "code.revoke",
    "revoke": "revoke",
    "revoke_session": "session.revoke",
    "revoke_others": "session.revoke",
    "scan_pairing": "pairing.scan",
    "approve_pairing": "pairing.approve",
    "deny_pairing": "pairing.deny",
    "cancel_pairing": "pairing.cancel",
}
"""The action of the row that each kind of operation leaves."""
MANY = frozenset({"revoke_others"})
"""One row for each session."""
SWITCHES = frozenset({"disable_user", "enable_user", "disable_client", "enable_client"})
"""They leave no row where nothing had to be done, as when what they turn back was lost."""
DONE = frozenset({"ok", "revoked", "alarm"})
"""Outcomes of rows that stand for a change; the others are traces of refusals."""


def check_audit(sessions: Sessions) -> Iterator[Violation]:
    """Rows that are missing, and rows of nothing."""
    if sessions.history.audit is None:
        return
    rows: dict[int, Counter[str]] = defaultdict(Counter)
    for row in sessions.history.audit:
        if row.outcome in DONE:
            rows[row.number][row.action] += 1
    undecided: dict[str, float] = {}
    for one in sessions.history.operations:
        if one.outcome is Outcome.UNKNOWN:
            asked = _asked(one)
            undecided[asked] = min(one.sent, undecided.get(asked, one.sent))
    for one in sessions.history.operations:
        found = rows.pop(one.number, Counter())
        if one.kind in ACTIONS:
            repeats = undecided.get(_asked(one), inf) < one.done
            yield from _compare(sessions, one, found, repeats=repeats)
        elif found:
            yield violated(AUDIT, f"{one.kind} changes nothing and has rows {dict(found)}", one)
    for number, found in rows.items():
        yield Violation(AUDIT, f"rows {dict(found)} of no operation", (number,))


def _asked(one: Operation) -> str:
    """What an operation asked for: the same text for the same."""
    names = ("target", "writes", "code", "request", "pairing", "token", "once")
    return repr((one.kind, [(name, one.about.get(name)) for name in names]))


def _compare(
    sessions: Sessions, one: Operation, found: Counter[str], *, repeats: bool
) -> Iterator[Violation]:
    """`repeats`: the same was asked before, and may have been done then."""
    number = found[ACTIONS[one.kind]]
    if number > 1 and one.kind not in MANY:
        yield violated(AUDIT, f"{one.kind} has {number} rows", one)
    if one.outcome is Outcome.REFUSED and number:
        yield violated(AUDIT, f"{one.kind} was refused ({one.reason}) and has a row", one)
    lost = any(one.sent < loss.fenced for loss in sessions.history.losses)
    lost = lost or (one.kind in SWITCHES and sessions.lost(one.done))
    if one.ok and not number and not (lost or repeats or _may_have_none(one)):
        yield violated(AUDIT, f"{one.kind} was acknowledged and has no row", one)
    if one.reason == "TOKEN_REUSED" and not found["session.reuse"] and not _was_over(sessions, one):
        yield violated(AUDIT, "a reuse has no row", one)


def _was_over(sessions: Sessions, reuse: Operation) -> bool:
    """Whether something else may have ended the session before the reuse could."""
    session = sessions.of_token[reuse.about["token"]]
    return sessions.lost(reuse.done) or any(
        end.by is not reuse and end.sent < reuse.done for end in sessions.ends_of(session)
    )


def _may_have_none(one: Operation) -> bool:
    """Whether it repeated what had been done, or found nothing to do."""
    return bool(one.about.get("replayed") or one.about.get("nothing"))
