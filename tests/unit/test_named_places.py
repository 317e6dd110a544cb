"""What the documents name as `path` or `path::name` is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.documents import documents
from tests.support.servers import ROOT

_PLACE = re.compile(
    r"`((?:token_service|clients|tests|protos|docs)/[A-Za-z0-9_./-]+)(?:::([A-Za-z0-9_]+))?`"
)
PLACES = [
    (document, path, name)
    for document in documents()
    if document != "CHANGELOG.md"
    for path, name in _PLACE.findall((ROOT / document).read_text())
]


@pytest.mark.parametrize("document", ["docs/invariants.md", "docs/security.md"])
def test_places_are_named(document: str) -> None:
    assert len([place for place in PLACES if place[0] == document]) > 20


@pytest.mark.parametrize(
    ("document", "path", "name"), PLACES, ids=lambda part: part.rpartition("/")[2]
)
def test_what_is_named_exists(document: str, path: str, name: str) -> None:
    assert (ROOT / path).exists(), f"{document} names {path}"
    if name:
        assert name in names_of(ROOT / path), f"{document} names {path}::{name}"


def test_each_invariant_has_its_code_and_its_tests() -> None:
    text = (ROOT / "docs" / "invariants.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [section[:2] for section in sections] == ["I1", "I2", "I3", "I4", "I5", "I6"]
    for section in sections:
        code, _, proofs = section.partition("| Proven by |")
        assert _PLACE.findall(code)
        assert [path for path, name in _PLACE.findall(proofs) if name.startswith("test_")]
        assert all(path.startswith("tests/") for path, _ in _PLACE.findall(proofs))


@cache
def names_of(path: Path) -> frozenset[str]:
    """What a module defines at its top."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(found)
