"""What commands print: tables for people or JSON for scripts on stdout, messages on stderr.

What draws the tables is loaded when there is one: a server draws none.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Field = Any  # a protobuf FieldDescriptor: its two implementations share no type

ABSENT = "-"
_UNLIMITED = 10_000  # columns, where the output goes to a file: nothing is cut off
_COLUMN_GAP, _EDGES = 3, 2  # of a table: between two columns, and around all of them
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


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

    def message(self, message: Message, *, hide: Sequence[str] = ()) -> None:
        """Print one message, all fields: `label  value` lines, or JSON.

        `hide` names fields that people need not see; JSON has them.
        """
        if self.as_json:
            self.json(as_dict(message))
            return
        self.record([pair for pair in fields_of(message) if pair[0] not in hide])

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

    def messages(self, messages: Iterable[Message], columns: Sequence[str]) -> None:
        """Print a table of messages with the named fields (a dot goes into a message)."""
        if self.as_json:
            self.json([as_dict(message) for message in messages])
            return
        rows = [[_cell(message, column) for column in columns] for message in messages]
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


def as_dict(message: Message) -> dict[str, Any]:
    """Return the message in protobuf's JSON form, with proto field names and unset fields too."""
    result: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return result


def fields_of(message: Message, prefix: str = "") -> list[tuple[str, str]]:
    """Return (label, text) of every field; those of messages inside have dotted labels."""
    pairs: list[tuple[str, str]] = []
    for field in message.DESCRIPTOR.fields:
        label = f"{prefix}{field.name}"
        value = getattr(message, field.name)
        if _is_group(field):
            if message.HasField(field.name):
                pairs += fields_of(value, f"{label}.")
        elif _is_list_of_groups(field):
            for number, item in enumerate(value):
                pairs += fields_of(item, f"{label}[{number}].")
        else:
            pairs.append((label, _text(message, field)))
    return pairs


def enum_text(descriptor: EnumDescriptor, number: int) -> str:
    """Return an enum's value without the prefix that all its names share, in lower case."""
    value = descriptor.values_by_number.get(number)
    if value is None:
        return str(number)
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    text = value.name.removeprefix(prefix).lower()
    return ABSENT if text == "unspecified" else text


def time_text(value: datetime) -> str:
    """Return a moment in UTC, to the second."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def duration_text(seconds: float) -> str:
    """Return a span in its largest unit that fits without a rest: 5m, 12h, 90s, 0.5s."""
    if seconds and seconds == int(seconds):
        for size, unit in _UNITS:
            if seconds % size == 0:
                return f"{int(seconds) // size}{unit}"
    return f"{seconds:g}s"


def _cell(message: Message, path: str) -> str:
    name, _, rest = path.partition(".")
    if rest:
        return _cell(getattr(message, name), rest)
    return _text(message, message.DESCRIPTOR.fields_by_name[name])


def _is_well_known(field: Field) -> bool:
    full_name = field.message_type.full_name if field.message_type else ""
    return full_name.startswith("google.protobuf.")


def _is_group(field: Field) -> bool:
    return field.message_type is not None and not field.is_repeated and not _is_well_known(field)


def _is_list_of_groups(field: Field) -> bool:
    return field.message_type is not None and field.is_repeated and not _is_well_known(field)


def _text(message: Message, field: Field) -> str:
    value = getattr(message, field.name)
    if field.is_repeated:
        return ", ".join(_scalar(field, item) for item in value) or ABSENT
    if field.has_presence and not message.HasField(field.name):
        return ABSENT
    return _scalar(field, value)


def _scalar(field: Field, value: Any) -> str:  # noqa: ANN401 - any field's value
    match value:
        case Timestamp():
            return time_text(value.ToDatetime(UTC))
        case Duration():
            return duration_text(value.ToTimedelta().total_seconds())
        case bool():
            return "yes" if value else "no"
        case bytes():
            return value.hex() or ABSENT
        case int() if field.enum_type is not None:
            return enum_text(field.enum_type, value)
        case _:
            return str(value) or ABSENT
