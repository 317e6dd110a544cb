"""What the log warns of is explained to who is called for it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.servers import ROOT

LEVELS = {"warning", "error", "critical", "exception"}
DOCUMENTS = ("docs/operations.md", "docs/security.md")


def warnings_of(source: Path) -> Iterator[str]:
    """The events that a module logs as a warning or worse."""
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="_log"), attr=level),
                args=[ast.Constant(value=str(event)), *_],
            ) if level in LEVELS:
                yield event


def test_every_warning_is_explained() -> None:
    documents = "".join((ROOT / name).read_text() for name in DOCUMENTS)
    modules = (ROOT / "token_service").rglob("*.py")
    events = {event for module in modules for event in warnings_of(module)}
    assert "postgres_fails" in events
    assert sorted(event for event in events if f"`{event}`" not in documents) == []
