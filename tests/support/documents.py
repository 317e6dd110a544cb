"""The documents as scripts: their fenced blocks, and what runs each of them.

A block in `text` is output or a picture. Every other one is run by a test, and the comment in the
line above it (`<!-- tour -->`) says how; several blocks with one mark are run in their order.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers import ROOT

README = "README.md"
CLIENT_README = "clients/python/README.md"
QR_README = "clients/examples/qr_login/README.md"
GATEWAYS = "docs/gateways.md"
PAIRING = "docs/pairing.md"
CODES = "docs/codes.md"
OPERATIONS = "docs/operations.md"
SETTINGS = "docs/settings.md"
SPEC = "docs/spec/README.md"

GRPCURL = shutil.which("grpcurl", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
"""The program, where it is installed: `.ci/run` does that."""

_FENCE = "```"
_MARK = re.compile(r"<!-- (.+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block. `mark` is empty where no comment stands above it; `shown` is the `text`
    that follows at once, which says what it prints."""

    document: str
    line: int
    mark: str
    language: str
    code: str
    shown: str = ""

    @property
    def place(self) -> str:
        """Where it stands, as an editor opens it."""
        return f"{self.document}:{self.line}"


def documents() -> list[str]:
    """Every document of the project."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("clients/**/*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def blocks(document: str, *marks: str, root: Path = ROOT) -> list[Block]:
    """The blocks of a document with one of these marks; without any, all of them."""
    found = list(_blocks(document, (root / document).read_text().splitlines(keepends=True)))
    return [block for block in found if not marks or block.mark in marks]


def between(text: str, name: str) -> str:
    """What stands between `<!-- name -->` and `<!-- /name -->`."""
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]


def outline(printed: str) -> list[str]:
    """What does not change from one run to the next: the keys of a table with the values that
    are words of the API, and the reason of a refusal."""
    return [_fixed(line) for line in printed.splitlines() if line.strip()]


def shows(shown: str, printed: str) -> bool:
    """Whether a document shows what is printed; `…` in a line of its own leaves lines out."""
    pattern = [".*" if line == "…" else re.escape(line + "\n") for line in outline(shown)]
    lines = "".join(line + "\n" for line in outline(printed))
    return re.fullmatch("".join(pattern), lines, re.DOTALL) is not None


def _blocks(document: str, lines: list[str]) -> Iterator[Block]:
    before, number = "", 0
    while number < len(lines):
        line = lines[number]
        if not line.startswith(_FENCE):
            before, number = line, number + 1
            continue
        end = _end_of(lines, number)
        mark = _MARK.fullmatch(before.strip())
        yield Block(
            document=document,
            line=number + 1,
            mark=mark[1] if mark else "",
            language=line.removeprefix(_FENCE).strip(),
            code="".join(lines[number + 1 : end]),
            shown=_shown_at(lines, end + 1),
        )
        before, number = "", end + 1


def _end_of(lines: list[str], start: int) -> int:
    return next(n for n in range(start + 1, len(lines)) if lines[n].startswith(_FENCE))


def _shown_at(lines: list[str], start: int) -> str:
    if start >= len(lines) or lines[start].strip() != f"{_FENCE}text":
        return ""
    return "".join(lines[start + 1 : _end_of(lines, start)])


def _fixed(line: str) -> str:
    key, _, value = line.partition("  ")
    if key == "verdict" or key == "http_status" or key == "www_authenticate":
        return f"{key} {value.strip()}"
    if " " in key.strip():  # a sentence: the reason before the colon, or its first words
        return key.partition(":")[0] if ":" in key else " ".join(key.split()[:2])
    return key
