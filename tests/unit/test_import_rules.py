"""Closes what import-linter leaves open: the pure parts import the standard library alone."""

import ast
import sys
from pathlib import Path

import pytest

import token_service
import tokenservice.core

_DOMAIN = Path(token_service.__file__).parent / "domain"
_CORE = Path(tokenservice.core.__file__).parent


def imported_by(file: Path) -> set[str]:
    """Return the full names of the modules that a file imports, relative ones with a dot first."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize(
    ("folder", "own"),
    [
        (_DOMAIN, ("token_service.domain", "tokenservice.core")),
        (_CORE, ("tokenservice.core",)),
    ],
    ids=["domain", "core"],
)
def test_only_the_standard_library_and_own_modules(folder: Path, own: tuple[str, ...]) -> None:
    files = sorted(folder.rglob("*.py"))
    assert len(files) > 3
    foreign = [
        f"{file.name}: {name}"
        for file in files
        for name in imported_by(file)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not any(name == module or name.startswith(f"{module}.") for module in own)
    ]
    assert foreign == []
