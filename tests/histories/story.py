"""Histories written by hand, for the tests of the checker."""

from typing import Any

from tests.histories.history import AuditRow, History, Loss, Operation, Outcome

LIMIT = 5.0


class Story:
    """Operations of half a second, one begun each second, unless their times are given."""

    def __init__(self) -> None:
        self.history = History("story", 0, LIMIT)
        self.now = 0.0

    def tell(self, kind: str, answer: str = "", /, **about: Any) -> Operation:
        """One operation. `answer` is empty for OK, a reason for a refusal, `?` for unknown; a
        verdict in `verdict`. `at` and `until` are its times, `place` where it was."""
        sent = float(about.pop("at", self.now))
        done = float(about.pop("until", sent + 0.5))
        place = about.pop("place", "node-0")
        reason = about.pop("verdict", "") or answer.removeprefix("?")
        outcome = Outcome.OK
        if answer:
            outcome = Outcome.UNKNOWN if answer.startswith("?") else Outcome.REFUSED
        self.now = max(self.now, done + 0.5)
        number = len(self.history.operations) + 1
        operation = Operation(number, kind, place, sent, done, outcome, reason, about)
        self.history.operations.append(operation)
        return operation

    def issue(self, session: int = 1, **about: Any) -> Operation:
        """A session with its first token 100 * session and access token 1000 * session."""
        given: dict[str, Any] = {"session": session, "next": 100 * session}
        given["access"] = [[1000 * session, ["orders.read"], "k1"]]
        return self.tell("issue", **{"client": "app", **given, **about})

    def exchange(
        self, token: int = 100, once: int = 1, answer: str = "", **about: Any
    ) -> Operation:
        """Session and successor follow from the token's number: 100 is followed by 101."""
        given: dict[str, Any] = {"client": "app", "token": token, "once": once}
        if not answer:
            given |= {"session": token // 100, "next": token + 1}
            given["access"] = [[10 * token + 10, ["orders.read"], "k1"]]
        return self.tell("exchange", answer, **{**given, **about})

    def collect(self, child: int) -> Operation:
        """The session that pairing 1 gives, approved by session 1."""
        given: dict[str, Any] = {
            "session": child,
            "next": 100 * child,
            "access": [],
            "client": "app",
        }
        return self.tell("collect", "", pairing=1, once=child, parent=1, **given)

    def validate(self, verdict: str = "ACTIVE", access: int = 1000, **about: Any) -> Operation:
        """One that was answered."""
        return self.tell("validate", verdict=verdict, access=access, **about)

    def revoke(self, *target: Any, answer: str = "", **about: Any) -> Operation:
        """Of anything."""
        return self.tell("revoke", answer, target=[*target], **about)

    def audited(self, *rows: tuple[int, str]) -> None:
        """What the audit log holds."""
        self.history.audit = [AuditRow(number, action, "ok") for number, action in rows]

    def lost(self, began: float, fenced: float = float("inf")) -> None:
        """Acknowledged writes may be gone."""
        self.history.losses.append(Loss(began, fenced))
