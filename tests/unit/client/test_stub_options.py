"""The API's files say where generated code of other languages belongs."""

from importlib import import_module
from pkgutil import iter_modules

import pytest

import tokenservice.v1

FILES = sorted(
    one.name for one in iter_modules(tokenservice.v1.__path__) if one.name.endswith("_pb2")
)


@pytest.mark.parametrize("name", FILES)
def test_go_and_java_find_their_packages(name: str) -> None:
    options = import_module(f"tokenservice.v1.{name}").DESCRIPTOR.GetOptions()
    assert options.go_package == "tokenservice/v1;tokenservicev1"
    assert options.java_package == "tokenservice.v1"
    assert options.java_multiple_files
