"""Constructors name their parts: at most five values are told by their position alone."""

import ast
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

import token_service
import tokenservice

MOST = 5
ROOTS = tuple(Path(package.__path__[0]) for package in (token_service, tokenservice))


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for root in ROOTS:
        for path in sorted(set(root.rglob("*.py")) - set((root / "v1").rglob("*.py"))):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    yield f"{path.relative_to(root.parent)}:{node.name}", node


def positionals(node: ast.ClassDef) -> int:
    """How many values the constructor takes by position, `self` apart."""
    for made_by in node.decorator_list:
        spelt = ast.unparse(made_by)
        if spelt.startswith("dataclass") and "kw_only=True" not in spelt:
            parts = (part for part in node.body if isinstance(part, ast.AnnAssign))
            return len(
                list(takewhile(lambda part: ast.unparse(part.annotation) != "KW_ONLY", parts))
            )
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            return len(part.args.posonlyargs + part.args.args) - 1
    return 0


def test_no_constructor_takes_more_than_five_values_by_position() -> None:
    found = {name: count for name, node in classes() if (count := positionals(node)) > MOST}
    assert found == {}


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("@dataclass\nclass A:\n    a: int\n    b: int", 2),
        ("@dataclass\nclass A:\n    a: int\n    _: KW_ONLY\n    b: int", 1),
        ("@dataclass(frozen=True, kw_only=True)\nclass A:\n    a: int\n    b: int", 0),
        ("class A:\n    def __init__(self, a, b, c, *, d): ...", 3),
    ],
)
def test_positionals_are_counted(source: str, count: int) -> None:
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.ClassDef)
    assert positionals(node) == count
