"""`from tokenservice import …`: what it has, and what importing it costs."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import tokenservice
from tokenservice._exports import MODULE_OF, NAMES

HEAVY = ("asyncio", "cryptography", "google.protobuf", "grpc", "httpx", "nacl", "segno")


def in_fresh_interpreter(program: str) -> str:
    """Run a program that has imported nothing yet, and return what it prints."""
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    return ran.stdout


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = json.loads(
        in_fresh_interpreter(
            "import json, sys; before = set(sys.modules); import tokenservice; dir(tokenservice); "
            "print(json.dumps(sorted(set(sys.modules) - before)))"
        )
    )
    assert [name for name in loaded if name.startswith(HEAVY)] == []
    assert [name for name in loaded if name.startswith("tokenservice")] == [
        "tokenservice",
        "tokenservice._exports",
    ]


def test_what_routes_are_made_of_needs_neither_grpc_nor_cryptography() -> None:
    loaded = in_fresh_interpreter(
        "import sys; from tokenservice import PUBLIC, Route, Verdict, TokenKind; "
        "print(*(name for name in ('grpc', 'google.protobuf', 'cryptography') "
        "if name in sys.modules))"
    )
    assert loaded.split() == []


def test_every_name_resolves_to_what_its_module_has() -> None:
    names = in_fresh_interpreter(
        "import tokenservice; from tokenservice import *; "
        "print(*(name for name in tokenservice.__all__ if name in globals()))"
    )
    assert tuple(names.split()) == NAMES
    assert len(set(NAMES)) == len(NAMES)


def test_type_checkers_are_told_the_same() -> None:
    stub = Path(tokenservice.__file__).with_suffix(".pyi").read_text()
    told = {
        alias.asname: node.module
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    modules = {name: f"tokenservice.{module}" for name, module in MODULE_OF.items()}
    assert told == {**modules, "qr": "tokenservice._pairing"}


def test_names_that_are_not_there_are_attribute_errors() -> None:
    assert not hasattr(tokenservice, "validator")
    assert not hasattr(tokenservice, "NoSuchName")


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert tokenservice.__version__ == version("token-service-client")
