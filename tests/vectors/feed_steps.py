"""Steps of followed streams, and their messages in the JSON of protobuf."""

from typing import Any, Final

from tests.vectors.parts import ISSUER, NOW, USER, entry, key, stamp

EPOCH: Final = "0b0e7f5c-0d5d-4f0a-9a53-6f2f6f0f3a11"
LIMIT: Final = 5.0


def begin(boot: float, epoch: str = "", revision: int = 0) -> dict[str, Any]:
    """A stream is asked for."""
    return {
        "do": "begin",
        "boot": boot,
        "expect": {"epoch": epoch, "from_revision": str(revision)},
    }


def message(boot: float, expect: str = "applied", **members: Any) -> dict[str, Any]:
    """A message comes at `boot`; it was sent then, and the log read then, if not said."""
    server = NOW + boot - 1000
    usual = {
        "epoch": EPOCH,
        "revision": "10",
        "readTime": stamp(server),
        "serverTime": stamp(server),
        "issuer": ISSUER,
    }
    merged = {name: one for name, one in {**usual, **members}.items() if one is not None}
    return {"do": "message", "boot": boot, "message": merged, "expect": expect}


def snapshot(*entries: dict[str, Any], last: bool = True, keys: Any = None) -> dict[str, Any]:
    """A chunk."""
    held = [key()] if keys is None else keys
    chunk = {"keys": [*map(wire_key, held)], "entries": [*map(wire_entry, entries)], "last": last}
    return {name: one for name, one in chunk.items() if one}


def delta(from_revision: int, *entries: dict[str, Any], keys: Any = None) -> dict[str, Any]:
    """A delta."""
    found: dict[str, Any] = {"fromRevision": str(from_revision)}
    if entries:
        found["entries"] = [*map(wire_entry, entries)]
    if keys is not None:
        found |= {"keysChanged": True, "keys": [*map(wire_key, keys)]}
    return found


def wire_key(one: dict[str, Any]) -> dict[str, Any]:
    """A key in the JSON of protobuf."""
    state = one["state"]
    return {
        "kid": one["kid"],
        "alg": one["alg"],
        "publicKey": one["public_key"],
        "serverOnly": one["server_only"],
        "state": state if isinstance(state, int) else f"KEY_STATE_{state}",
    }


def wire_entry(one: dict[str, Any]) -> dict[str, Any]:
    """An entry in the JSON of protobuf; a kind or effect may be a number."""
    kind, effect = one["kind"], one["effect"]
    found = {
        "revision": one["revision"],
        "kind": kind if isinstance(kind, int) else f"TRUST_ENTRY_KIND_{kind}",
        "effect": effect if isinstance(effect, int) else f"TRUST_EFFECT_{effect}",
        "keepUntil": stamp(one["keep_until"]),
    }
    if one["id"]:
        found["id"] = one["id"]
    if one["device_id"]:
        found["deviceId"] = one["device_id"]
    return found


def look(boot: float, age: float | None, **changes: Any) -> dict[str, Any]:
    """What is known at `boot`."""
    usual = {
        "epoch": EPOCH,
        "revision": "10",
        "fresh": age is not None and age <= LIMIT,
        "age": age,
        "now": NOW + boot - 1000,
        "keys": ["ed-1"],
        "entries": [],
    }
    return {"do": "look", "boot": boot, "expect": {**usual, **changes}}


def about(revision: int, **changes: Any) -> dict[str, Any]:
    """An entry for one subject."""
    return {**entry(revision, "SUBJECT", USER), **changes}
