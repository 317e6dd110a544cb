"""Closes what import-linter leaves open.

The pure parts import the standard library alone, and programs what is public in the client package.
"""

import ast
import sys
from pathlib import Path

import pytest

import token_service
import tokenservice.core
from tests.support.documents import blocks, documents

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


_ROOT = Path(__file__).parents[2]
_OUTSIDE = (
    "token_service",
    "clients/examples",
    *(
        f"tests/{suite}"
        for suite in ("e2e", "faults", "integration", "pairing", "rpc", "soak", "vectors")
    ),
)
_STATED = {
    # The server checks signatures with the validator's own code: both must take the same keys.
    "token_service/adapters/crypto/signing_keys.py: tokenservice._decisions.signatures",
    # A program whose clock is wrong is given one.
    "tests/integration/sdk/test_faults.py: tokenservice._outgoing.server_time",
    # What the server answers is compared with what the validator makes of it.
    "tests/integration/sdk/test_validator.py: tokenservice._validator.answers",
}


def private_names(source: str) -> set[str]:
    """Return the modules of the client package that a program imports, and that are not public."""
    imported = {
        name
        for node in ast.walk(ast.parse(source))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [f"{node.module}.{alias.name}" for alias in node.names]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    return {
        name.rpartition(".")[0] if name.rpartition(".")[2][0] != "_" else name
        for name in imported
        if name.startswith("tokenservice.")
        and any(part.startswith("_") for part in name.split(".")[1:])
        and not name.endswith(".__version__")
    }


def test_programs_use_what_is_public_in_the_client_package() -> None:
    files = [file for folder in _OUTSIDE for file in sorted((_ROOT / folder).rglob("*.py"))]
    assert len(files) > 300
    found = {
        f"{file.relative_to(_ROOT)}: {name}"
        for file in files
        for name in private_names(file.read_text())
    }
    assert found == _STATED


def test_documents_show_what_is_public_in_the_client_package() -> None:
    shown = [
        block
        for document in documents()
        for block in blocks(document)
        if block.language == "python"
    ]
    assert len(shown) > 10
    assert [block.place for block in shown if "tokenservice._" in block.code] == []


def test_private_names_are_found() -> None:
    program = """
import tokenservice._errors
from tokenservice import _messages, Connection, __version__
from tokenservice._transport.connection import Connection
from tokenservice.middleware._routes import Route
from tokenservice.core import Facts
"""
    assert private_names(program) == {
        "tokenservice._errors",
        "tokenservice._messages",
        "tokenservice._transport.connection",
        "tokenservice.middleware._routes",
    }
