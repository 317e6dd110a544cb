"""Things that are set and read: who may log in with what, and what a policy allows.

A read must give a value that may have been there. Who writes is known to wait for each of its
writes, so a value is gone once a later write was acknowledged; a write whose outcome is unknown may
come at any time after it was sent, and its value is possible from then on.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.histories.checker.sessions import Sessions
from tests.histories.checker.violation import Violation, violated
from tests.histories.history import History, Operation, Outcome

LOGIN, LOCKED_OUT = "disabled or changed, logged in", "login possible"
POLICY, KEY = "policy", "compromised key"
WIDE = "orders.write"
"""The scope that policies are written with and without."""


class Registers:
    """The writes of each register, in the order in which they were sent."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._writes: dict[str, list[tuple[Any, Operation]]] = defaultdict(list)
        for one in sorted(history.operations, key=lambda one: one.sent):
            if one.outcome is not Outcome.REFUSED:
                for register, value in one.about.get("writes", ()):
                    self._writes[register].append((value, one))

    def known(self, register: str) -> bool:
        """Whether anything was ever written to it."""
        return register in self._writes

    def overwritten(self, register: str, value: Any, sent: float, done: float) -> Operation | None:
        """The write that makes it impossible to read the value in that time; None: possible."""
        latest: Operation | None = None
        for written, one in self._writes.get(register, ()):
            if one.sent > done:
                break
            if written == value:
                if one.latest > sent:
                    return None  # may be the write that is read
                latest = None
            elif one.latest < sent:
                latest = one
        if latest is not None and any(loss.began < done for loss in self._history.losses):
            return None
        return latest

    def another(self, register: str, value: Any, sent: float, done: float) -> bool:
        """Whether it may have had another value than this in that time."""
        return any(
            written != value
            and one.sent < done
            and self.overwritten(register, written, sent, done) is None
            for written, one in self._writes.get(register, ())
        )


def check_registers(sessions: Sessions) -> Iterator[Violation]:
    """Reads of what was overwritten."""
    registers = Registers(sessions.history)
    for one in sessions.history.operations:
        if one.ok and "next" in one.about:
            yield from _client(registers, one)
            if not one.about.get("parent"):
                yield from _policy(sessions, registers, one)
        if one.kind == "issue" and "user" in one.about:
            yield from _login(sessions, registers, one)
    yield from _compromised(sessions)


def _client(registers: Registers, one: Operation) -> Iterator[Violation]:
    write = registers.overwritten(f"client {one.about['client']}", "enabled", one.sent, one.done)
    if write is not None and not one.about.get("replayed"):
        yield violated(LOGIN, "a disabled client was served", write, one)


def _policy(sessions: Sessions, registers: Registers, one: Operation) -> Iterator[Violation]:
    register = f"policy {one.about['client']}"
    if not registers.known(register):
        return
    wide = _is_wide(one)
    session = sessions.by_number[one.about["session"]]
    if not wide and session.opened is not one and not _is_wide(session.opened):
        return  # a session keeps to what it was granted
    value = "wide" if wide else "narrow"
    since = one.sent - sessions.history.limit
    write = registers.overwritten(register, value, since, one.done)
    if write is not None:
        yield violated(POLICY, f"tokens are {value} under another policy", write, one)


def _is_wide(one: Operation) -> bool:
    return any(WIDE in scopes for _, scopes, _ in one.about["access"])


def _login(sessions: Sessions, registers: Registers, one: Operation) -> Iterator[Violation]:
    user = one.about["user"]
    reads = ((f"user {user}", "enabled"), (f"password {user}", one.about["password"]))
    if one.ok:
        for register, value in reads:
            write = registers.overwritten(register, value, one.sent, one.done)
            if write is not None:
                yield violated(LOGIN, f"{register} was no longer {value}", write, one)
    elif one.reason == "CREDENTIALS_INVALID" and not sessions.lost(one.done):
        grounds = (
            registers.another(register, value, one.sent, one.done) for register, value in reads
        )
        if not any(grounds):
            yield violated(LOCKED_OUT, f"user {user} could not log in", one)


def _compromised(sessions: Sessions) -> Iterator[Violation]:
    """No token is made with a key that is known to be compromised."""
    compromised = {
        name[1]: min((end for end in ends if end.sure), key=lambda end: end.latest, default=None)
        for name, ends in sessions.ends.items()
        if name[0] == "key"
    }
    for one in sessions.history.operations:
        if not one.ok or "next" not in one.about:
            continue
        for _, _, key in one.about["access"]:
            end = compromised.get(key)
            if end is None or sessions.forgotten(end):
                continue
            if one.sent > end.latest + sessions.history.limit:
                yield violated(KEY, f"a token is made with key {key}", end.by, one)
