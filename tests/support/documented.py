"""Which errors the API documents: read from the comments of the proto files, as callers do."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.servers import ROOT
from tokenservice.v1 import error_reason_pb2

PROTOS = ROOT / "protos" / "tokenservice" / "v1"
PACKAGE = "tokenservice.v1"

REASONS = frozenset(
    name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()[1:]
)
"""All there are."""

_WORD = re.compile(r"\b[A-Z]+(?:_[A-Z]+)*\b")
_AS = re.compile(r"\bthose of (\w+)")
_EVERY = "Every call may fail with"
_ERRORS = re.compile(r"^Errors\b", re.MULTILINE)


@dataclass(frozen=True)
class Documented:
    """`general` may come of every call; `own` has what stands with each `Service.Method`."""

    general: frozenset[str]
    own: dict[str, frozenset[str]]

    def allows(self, method: str, reason: str) -> bool:
        """Whether the call (its full name, as on the wire) may be refused so."""
        service, _, name = method.removeprefix("/").rpartition("/")
        package, _, short = service.rpartition(".")
        if package != PACKAGE:
            return True  # a standard service, documented by its standard
        return reason in self.general or reason in self.own[f"{short}.{name}"]


@cache
def documented() -> Documented:
    """Read all proto files."""
    comments = {name: text for path in sorted(PROTOS.glob("*.proto")) for name, text in _of(path)}
    [general] = [text for text in comments.values() if _EVERY in text]
    sentence = general.partition(_EVERY)[2].partition(";")[0]
    methods = {name: text for name, text in comments.items() if "." in name}
    own = {name: _own(name, methods) for name in methods}
    return Documented(_reasons(sentence), own)


def _own(name: str, comments: dict[str, str]) -> frozenset[str]:
    found = _ERRORS.search(comments[name])
    if found is None:
        return frozenset()
    text = comments[name][found.start() :]
    service = name.partition(".")[0]
    borrowed = [_own(f"{service}.{other}", comments) for other in _AS.findall(text)]
    return _reasons(text).union(*borrowed)


def _reasons(text: str) -> frozenset[str]:
    return REASONS.intersection(_WORD.findall(text))


def _of(path: Path) -> Iterator[tuple[str, str]]:
    """The comments of a file's services (by name) and methods (as `Service.Method`)."""
    service, comment = "", list[str]()
    for line in path.read_text().splitlines():
        stripped = line.strip()
        if stripped.startswith("//"):
            comment.append(stripped.removeprefix("//").strip())
            continue
        if found := re.match(r"service (\w+)", stripped):
            service = found[1]
            yield service, "\n".join(comment)
        elif found := re.match(r"rpc (\w+)", stripped):
            yield f"{service}.{found[1]}", "\n".join(comment)
        comment = []
