"""How a command fails: 1 for a refusal by the service, 2 for unusable configuration or usage."""

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from token_service.cli.output import printable
from token_service.cli.values import duration_text

if TYPE_CHECKING:
    from tokenservice import TokenServiceError

REFUSED = 1
UNUSABLE = 2

_UNKNOWN_OUTCOME = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})


class CliError(Exception):
    """Ends the command with a message for people; `exit_code` is REFUSED or UNUSABLE."""

    def __init__(self, message: str, *, exit_code: int = UNUSABLE) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Refusal:
    """A failed call, as the service explained it; texts are empty where it did not.

    `fields` are (path, what is wrong with it); `retry_after` is in seconds.
    """

    code: str
    message: str
    reason: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    retry_after: float | None = None

    @property
    def unreached(self) -> bool:
        """Whether nobody of the service answered."""
        return not self.reason and self.code in _UNKNOWN_OUTCOME

    @property
    def outcome_unknown(self) -> bool:
        """Whether the call may have taken effect all the same."""
        return self.code in _UNKNOWN_OUTCOME

    def text(self) -> str:
        """Return what people read: the reason, the message, the fields, when to come back."""
        lines = [f"{self.reason or self.code}: {self.message or 'no details'}"]
        lines += [
            f"  field {path}" + (f": {what}" if what != self.message else "")
            for path, what in self.fields
            if path
        ]
        if self.reason == "CALLER_UNAUTHENTICATED":
            lines.append(
                "  the command's own credentials are wrong: an unknown client, a former secret "
                "or a disabled client"
            )
        if self.retry_after is not None:
            lines.append(f"  try again in {duration_text(self.retry_after)}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """Return what scripts read."""
        return {
            "code": self.code,
            "reason": self.reason,
            "message": self.message,
            "fields": [{"field": path, "description": what} for path, what in self.fields],
            "retry_after": self.retry_after,
        }


def refusal_of(error: "TokenServiceError") -> Refusal:
    """Read what a failed call tells."""
    reason = "" if error.raw_reason == error.code.name else error.raw_reason
    retry_after = None if error.retry_after is None else error.retry_after.total_seconds()
    fields = tuple((field, what) for field, what in error.field_violations)
    return Refusal(error.code.name, error.message, reason, fields, retry_after)


def show_refusal(refusal: Refusal, *, as_json: bool) -> None:
    """Write a refusal to stderr, for scripts as one line of JSON."""
    text = json.dumps({"error": refusal.as_dict()}) if as_json else refusal.text()
    sys.stderr.write(printable(text, newlines=True) + "\n")
