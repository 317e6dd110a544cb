"""A code is redeemed as often as it may be, and a pairing gives one session."""

from collections import defaultdict
from collections.abc import Iterator

from tests.histories.checker.sessions import Sessions, operations_of
from tests.histories.checker.violation import Violation, violated
from tests.histories.history import Operation, Outcome

USES, CODE, CHILDREN, APPROVAL = "code's uses", "code usable", "one child", "approved before"


def check_codes(sessions: Sessions) -> Iterator[Violation]:
    """Codes that were redeemed too often, too late, or not at all."""
    by_code: dict[int, list[Operation]] = defaultdict(list)
    for one in operations_of(sessions.history, "redeem_code", "revoke_code"):
        by_code[one.about["code"]].append(one)
    for issued in operations_of(sessions.history, "issue_code"):
        if issued.ok:
            yield from _of_code(sessions, issued, by_code[issued.about["code"]])


def _of_code(
    sessions: Sessions, issued: Operation, operations: list[Operation]
) -> Iterator[Violation]:
    redemptions = [one for one in operations if one.kind == "redeem_code"]
    uses = {one.about["request"]: one for one in redemptions if one.ok}
    allowed = issued.about["max_uses"]
    lossy = any(sessions.lost(one.done) for one in redemptions)
    if len(uses) > allowed and not lossy:
        text = f"{len(uses)} redemptions of a code for {allowed}"
        yield violated(USES, text, issued, *uses.values())
    first_uses: dict[int, Operation] = {}
    for one in redemptions:
        if one.ok and not one.about.get("replayed") and not lossy:
            before = first_uses.setdefault(one.about["request"], one)
            if before is not one:
                yield violated(USES, "one request redeemed a code twice", before, one)
    revocations = [one for one in operations if one.kind == "revoke_code"]
    for one in redemptions:
        if one.outcome is Outcome.REFUSED and not sessions.lost(one.done):
            yield from _refused(issued, redemptions, revocations, one)
        late = one.ok and not one.about.get("replayed")
        for revoked in revocations:
            if late and revoked.ok and one.sent > revoked.done and not lossy:
                yield violated(USES, "a revoked code was redeemed", revoked, one)


def _refused(
    issued: Operation,
    redemptions: list[Operation],
    revocations: list[Operation],
    one: Operation,
) -> Iterator[Violation]:
    others = {
        other.about["request"]
        for other in redemptions
        if other.outcome is not Outcome.REFUSED
        and other.sent < one.done
        and other.about["request"] != one.about["request"]
    }
    wrong = {
        "CODE_USED_UP": len(others) < issued.about["max_uses"],
        "CODE_REVOKED": not any(revoked.sent < one.done for revoked in revocations),
        "CODE_UNKNOWN": True,
        "CODE_EXPIRED": True,
    }
    if wrong.get(one.reason):
        yield violated(CODE, f"a code reads {one.reason} without a ground", issued, one)


def check_pairings(sessions: Sessions) -> Iterator[Violation]:
    """Pairings with two children, without an approval, or that are gone."""
    by_pairing: dict[int, list[Operation]] = defaultdict(list)
    for one in operations_of(
        sessions.history,
        "collect",
        "approve_pairing",
        "deny_pairing",
        "cancel_pairing",
    ):
        by_pairing[one.about["pairing"]].append(one)
    for operations in by_pairing.values():
        collected = [one for one in operations if one.kind == "collect"]
        yield from _children([one for one in collected if one.ok])
        yield from _collected(sessions, operations, collected)


def _children(done: list[Operation]) -> Iterator[Violation]:
    for one in done[1:]:
        if one.about["session"] != done[0].about["session"]:
            yield violated(CHILDREN, "a pairing has two children", done[0], one)
        elif one.about["next"] != done[0].about["next"]:
            yield violated(CHILDREN, "a pairing's child has two first tokens", done[0], one)


def _collected(
    sessions: Sessions, operations: list[Operation], collected: list[Operation]
) -> Iterator[Violation]:
    approvals = [one for one in operations if one.kind == "approve_pairing"]
    ends = [one for one in operations if one.kind in ("deny_pairing", "cancel_pairing")]
    for one in collected:
        maybe = [
            other
            for other in approvals
            if other.outcome is not Outcome.REFUSED and other.sent < one.done
        ]
        if one.ok and not maybe:
            yield violated(APPROVAL, "a pairing was collected that nobody approved", one)
        for end in ends:
            if one.ok and end.ok and all(end.done < approval.sent for approval in maybe):
                yield violated(APPROVAL, "a pairing was collected after its end", end, one)
        approved = next((other for other in maybe if other.ok and other.done < one.sent), None)
        gone = one.reason == "PAIRING_NOT_FOUND"
        if gone and approved is not None and not sessions.lost(one.done):
            yield violated(APPROVAL, "an approved pairing is gone", approved, one)
