"""What commands print: tables for people or JSON for scripts on stdout, messages on stderr.

What draws the tables is loaded when there is one: a server draws none.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from token_service.cli.values import as_json, cell_of, fields_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_UNLIMITED = 10_000  # columns, where the output goes to a file: nothing is cut off
_COLUMN_GAP, _EDGES = 3, 2  # of a table: between two columns, and around all of them


class Output:
    """Where a command writes; `as_json` picks the form of its result."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    def note(self, text: str) -> None:
        """Tell the person something beside the result; scripts do not see it."""
        sys.stderr.write(printable(text, newlines=True) + "\n")

    def json(self, value: object) -> None:
        """Print one JSON document on a line of its own."""
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    def line(self, text: str) -> None:
        """Print one line of the result."""
        sys.stdout.write(printable(text) + "\n")
        sys.stdout.flush()

    def value(self, value: object) -> None:
        """Print one value with parts, all that are there: `label  value` lines, or JSON."""
        if self.as_json:
            self.json(as_json(value))
        else:
            self.record(fields_of(value))

    def record(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Print `label  value` lines. Values are never wrapped: they are there to be copied."""
        from rich.text import Text

        rows = list(pairs)
        width = max((len(label) for label, _ in rows), default=0)
        self.texts(
            Text(f"{label:<{width}}  ", style="bold").append(printable(value), style="none")
            for label, value in rows
        )

    def texts(self, lines: "Iterable[Text]") -> None:
        """Print lines of a result that have styles. None is wrapped."""
        console = _console(sys.stdout, _UNLIMITED)
        for line in lines:
            console.print(line, soft_wrap=True)

    def values(self, values: Iterable[Any], columns: Sequence[str]) -> None:
        """Print a table of values with the named parts (a dot goes into a part)."""
        if self.as_json:
            self.json([as_json(value) for value in values])
            return
        rows = [[cell_of(value, column) for column in columns] for value in values]
        self.rows([column.replace("_", " ") for column in columns], rows)

    def rows(self, headings: Sequence[str], rows: "Sequence[Sequence[str | Text]]") -> None:
        """Print a table. On a terminal that is too narrow for it the last columns are left out:
        what is shown is there to be copied, so nothing is cut or wrapped."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        if not rows:
            self.note("none")
            return
        cells = [[c if isinstance(c, Text) else Text(printable(c)) for c in row] for row in rows]
        shown = _columns_that_fit(headings, cells, _width(sys.stdout))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for heading in headings[:shown]:
            table.add_column(heading, no_wrap=True)
        for row in cells:
            table.add_row(*row[:shown])
        _console(sys.stdout, _UNLIMITED).print(table)
        if shown < len(headings):
            left_out = ", ".join(headings[shown:])
            self.note(
                f"left out for want of room: {left_out} (a wider terminal or --json has them)"
            )


def _columns_that_fit(headings: Sequence[str], rows: "Sequence[Sequence[Text]]", width: int) -> int:
    """How many of the columns, from the first on, fit side by side; at least one."""
    used = _EDGES - _COLUMN_GAP
    for place, heading in enumerate(headings):
        used += _COLUMN_GAP + max(len(heading), *(row[place].cell_len for row in rows))
        if used > width:
            return max(1, place)
    return len(headings)


def _width(stream: Any) -> int:  # noqa: ANN401 - a text stream of any kind
    """How many columns there are; for what is no terminal, as many as are wanted."""
    return _console(stream).width if stream.isatty() else _UNLIMITED


def _console(stream: Any, width: int | None = None) -> "Console":  # noqa: ANN401 - as above
    from rich.console import Console

    return Console(file=stream, width=width, highlight=False)


def printable(text: str, *, newlines: bool = False) -> str:
    """Return `text` without anything that a terminal could obey.

    Names and notes are written by strangers: escape sequences in them must stay text.
    """
    return "".join(
        c if c.isprintable() or (newlines and c == "\n") else c.encode("unicode_escape").decode()
        for c in text
    )
