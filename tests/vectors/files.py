"""All files of vectors, as text."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.servers import ROOT
from tests.vectors import (
    clock,
    derived,
    feed,
    jwt_text,
    opaque,
    signatures,
    trust,
    validate,
    verdict,
)

FOLDER = ROOT / "docs" / "spec" / "vectors"

_FILES: Mapping[str, Callable[[], dict[str, Any]]] = {
    "opaque.json": opaque.make,
    "jwt.json": jwt_text.make,
    "signatures.json": signatures.make,
    "trust.json": trust.make,
    "clock.json": clock.make,
    "feed.json": feed.make,
    "verdict.json": verdict.make,
    "validate.json": validate.make,
    "derived.json": derived.make,
}


def texts() -> dict[str, str]:
    """Every file's text by its name."""
    return {name: json.dumps(make(), indent=1) + "\n" for name, make in _FILES.items()}
