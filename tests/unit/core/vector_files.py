"""The vectors of docs/spec, and their values in the terms of the Python packages."""

import json
from collections.abc import Iterable
from datetime import timedelta
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from tokenservice._decisions.requirements import Requirements
from tokenservice.core import (
    Facts,
    KeyState,
    Requirement,
    TokenKind,
    TrustEffect,
    TrustEntry,
    TrustEntryKind,
    TrustKey,
    TrustState,
)
from tokenservice.v1 import trust_service_pb2 as pb

FOLDER = Path(__file__).parents[3] / "docs" / "spec" / "vectors"
FILES = {path.name: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
SECTIONS = {
    (name, section): cases
    for name, file in FILES.items()
    for section, cases in file.items()
    if isinstance(cases, list)
}


def cases(name: str, section: str = "cases") -> pytest.MarkDecorator:
    """The cases of one section, by their names."""
    found = SECTIONS[name, section]
    assert found
    return pytest.mark.parametrize("case", found, ids=lambda case: case["name"][:60])


def state_of(entries: Iterable[Any], keys: Iterable[Any], issuer: str = "i") -> TrustState:
    state = TrustState()
    held = [*map(entry_of, entries)]
    state.apply_snapshot("given", issuer, 2**63 - 1, 0.0, [*map(key_of, keys)], held)
    return state


def key_of(one: dict[str, Any]) -> TrustKey:
    read = ParseDict({"publicKey": one["public_key"]}, pb.TrustKey())
    state = KeyState[one["state"]]
    return TrustKey(one["kid"], one["alg"], read.public_key, one["server_only"], state)


def entry_of(one: dict[str, Any]) -> TrustEntry:
    return TrustEntry(
        revision=int(one["revision"]),
        kind=TrustEntryKind[one["kind"]],
        id=one["id"],
        device_id=one["device_id"],
        effect=TrustEffect[one["effect"]],
        keep_until=one["keep_until"],
    )


def facts_of(said: dict[str, Any]) -> Facts:
    converted = {
        "kind": TokenKind[said["kind"]],
        "scopes": frozenset(said["scopes"]),
        "roles": tuple(said["roles"]),
        "amr": tuple(said["amr"]),
        "rev": int(said["rev"]),
        "confirmation": bytes.fromhex(said["confirmation"]),
    }
    return Facts(**{**said, **converted})


def shown_of(facts: Facts) -> dict[str, Any]:
    """Facts as the files write them."""
    shown = {name: getattr(facts, name) for name in Facts.__dataclass_fields__}
    converted = {
        "kind": facts.kind.name,
        "scopes": sorted(facts.scopes),
        "roles": list(facts.roles),
        "amr": list(facts.amr),
        "rev": str(facts.rev),
        "confirmation": facts.confirmation.hex(),
    }
    return {**shown, **converted}


def requirement_of(one: dict[str, Any]) -> Requirement:
    seconds, confirmation = one["max_auth_age"], bytes.fromhex(one["confirmation"])
    age = None if seconds is None else timedelta(seconds=seconds)
    return Requirements().make(one["audience"], one["scopes"], age, one["acr"], confirmation)


def time_of(seconds: float) -> float | None:
    return seconds if isfinite(seconds) else None


def near(expected: Any) -> Any:
    """Times may differ by a microsecond."""
    if not isinstance(expected, dict):
        return expected
    return {
        name: pytest.approx(value, abs=1e-6) if isinstance(value, float | int) else value
        for name, value in expected.items()
    }
