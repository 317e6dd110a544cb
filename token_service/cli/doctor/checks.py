"""What a check finds."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check went; the order is that of severity."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `advice` says what to do about it; empty where all is well."""

    name: str
    status: Status
    detail: str
    advice: str = ""


def ok(name: str, detail: str) -> Check:
    """Report that all is well."""
    return Check(name, Status.OK, detail)


def warn(name: str, detail: str, advice: str) -> Check:
    """Report what works, but should be looked at."""
    return Check(name, Status.WARN, detail, advice)


def fail(name: str, detail: str, advice: str) -> Check:
    """Report what keeps the service from working, or from keeping its promises."""
    return Check(name, Status.FAIL, detail, advice)


def failed(checks: Iterable[Check]) -> bool:
    """Whether anything is broken."""
    return any(check.status is Status.FAIL for check in checks)
