"""How a command fails: 1 for a refusal by the service, 2 for unusable configuration or usage."""

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from token_service.cli.output import duration_text, printable

if TYPE_CHECKING:
    import grpc
    from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

REFUSED = 1
UNUSABLE = 2

_DETAILS_KEY = "grpc-status-details-bin"
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


def refusal_of(error: "grpc.RpcError") -> Refusal:
    """Read the status and the details of a failed call."""
    call = cast("grpc.Call", error)  # every error that a call raises is one
    code = call.code().name
    metadata = dict(call.trailing_metadata() or ())
    status = _status_of(metadata.get(_DETAILS_KEY))
    if status is None:
        return Refusal(code, call.details() or "")
    return _explained(code, status)


def show_refusal(refusal: Refusal, *, as_json: bool) -> None:
    """Write a refusal to stderr, for scripts as one line of JSON."""
    text = json.dumps({"error": refusal.as_dict()}) if as_json else refusal.text()
    sys.stderr.write(printable(text, newlines=True) + "\n")


def _status_of(details: str | bytes | None) -> "Status | None":
    from google.protobuf.message import DecodeError
    from google.rpc.status_pb2 import Status

    if not isinstance(details, bytes):
        return None
    try:
        return Status.FromString(details)
    except DecodeError:
        return None


def _explained(code: str, status: "Status") -> Refusal:
    from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]

    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    retry_after: float | None = None
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad_request)
        if detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    fields = tuple((v.field, v.description) for v in bad_request.field_violations)
    return Refusal(code, status.message, info.reason, fields, retry_after)
