"""Judging the facts of an authentic token: each check at its edges, and their order."""

from typing import Any

from tests.vectors.parts import NOW, SESSION, THUMBPRINT, USER, entry, facts, key, requirement

INVALID = (401, 'Bearer error="invalid_token"')
SCOPE = 'Bearer error="insufficient_scope", scope="{}"'
STEP_UP = 'Bearer error="insufficient_user_authentication"'
BOUND = THUMBPRINT.hex()


def make() -> dict[str, Any]:
    """The file."""
    return {
        "about": "From facts to a verdict and the answer over HTTP (verdict.md, steps 9 to 18).",
        "defaults": {
            "facts": facts(),
            "keys": [key()],
            "entries": [],
            "requirement": requirement(),
            "now": NOW,
        },
        "cases": [*_single(), *_scopes(), *_step_up(), *_order()],
        "refused_requirements": _requirements(),
    }


def answer(verdict: str, challenge: str = "") -> dict[str, Any]:
    """What comes out; the challenge of those that have one text is filled in."""
    if verdict == "ACTIVE":
        status, header = 200, ""
    elif verdict == "INSUFFICIENT_SCOPE":
        status, header = 403, challenge
    elif verdict == "STEP_UP_REQUIRED":
        status, header = 401, challenge
    else:
        status, header = INVALID
    return {"verdict": verdict, "http_status": status, "www_authenticate": header}


def _case(name: str, expect: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"name": name, **changes, "expect": expect}


def _single() -> list[dict[str, Any]]:
    active, expired, unknown = answer("ACTIVE"), answer("EXPIRED"), answer("UNKNOWN")
    sessions = ("UNSPECIFIED", "WEB_SESSION", "MOBILE_SESSION", "API_SESSION")
    times = [
        ("at the moment of its issue", NOW, active),
        ("just before its expiry", NOW + 299.75, active),
        ("at its expiry", NOW + 300, expired),
        ("long after its expiry", NOW + 100_000, expired),
        ("a minute before its issue", NOW - 60, active),
        ("more than a minute before its issue", NOW - 60.25, unknown),
        ("without a clock", None, expired),
    ]
    audiences = ("Orders", "order", "orders2", "orders/", "*")
    bound = [
        ("not bound, no certificate", "", "", active),
        ("not bound, a certificate", "", BOUND, active),
        ("bound, its certificate", BOUND, BOUND, active),
        ("bound, no certificate", BOUND, "", answer("BINDING_MISMATCH")),
        ("bound, another certificate", BOUND, "ff" * 32, answer("BINDING_MISMATCH")),
    ]
    states = [("RETIRED", "UNKNOWN"), ("COMPROMISED", "REVOKED"), ("UNSPECIFIED", "UNKNOWN")]
    return [
        _case("access token", active),
        _case("rolling token", active, facts={"kind": "ROLLING"}),
        *(_case(f"kind {k}", answer("WRONG_KIND"), facts={"kind": k}) for k in sessions),
        _case("no key", unknown, keys=[]),
        *(_case(f"key {s}", answer(v), keys=[key(state=s)]) for s, v in states),
        _case("key pending", active, keys=[key(state="PENDING")]),
        _case("key revoked", answer("REVOKED"), entries=[entry(1, "KEY", "ed-1")]),
        _case("key revoked, gone", answer("REVOKED"), keys=[], entries=[entry(1, "KEY", "ed-1")]),
        *(
            _case(f"audience {one}", answer("WRONG_AUDIENCE"), requirement={"audience": one})
            for one in audiences
        ),
        *(
            _case(name, expect, facts={"confirmation": b}, requirement={"confirmation": c})
            for name, b, c, expect in bound
        ),
        *(_case(name, expect, now=now) for name, now, expect in times),
        _case("revoked by session", answer("REVOKED"), entries=[entry(5, "SESSION", SESSION)]),
        _case("revoked by subject", answer("REVOKED"), entries=[entry(11, "SUBJECT", USER)]),
        _case("issued with knowledge of it", active, entries=[entry(10, "SUBJECT", USER)]),
        _case("reissued", expired, entries=[entry(11, "SUBJECT", USER, effect="REISSUE")]),
    ]


def _scopes() -> list[dict[str, Any]]:
    rows = [
        (["orders.read"], "ACTIVE", ""),
        (["orders.write", "orders.read"], "ACTIVE", ""),
        (["orders.delete"], "INSUFFICIENT_SCOPE", "orders.delete"),
        (["orders.read", "orders.delete"], "INSUFFICIENT_SCOPE", "orders.delete orders.read"),
        (["orders"], "INSUFFICIENT_SCOPE", "orders"),
        (["b", "B", "a:1"], "INSUFFICIENT_SCOPE", "B a:1 b"),
    ]
    return [
        _case(f"scopes {s}", answer(v, SCOPE.format(text)), requirement={"scopes": s})
        for s, v, text in rows
    ]


def _step_up() -> list[dict[str, Any]]:
    demands: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
        ("young enough", {"max_auth_age": 60}, {}, ""),
        ("too old", {"max_auth_age": 59}, {}, ', max_age="59"'),
        ("part of a second too old", {"max_auth_age": 59.75}, {}, ', max_age="59"'),
        ("age 0, authenticated now", {"max_auth_age": 0}, {"auth_time": NOW}, ""),
        ("age 0, a second ago", {"max_auth_age": 0}, {"auth_time": NOW - 1}, ', max_age="0"'),
        ("authenticated in a minute", {"max_auth_age": 60}, {"auth_time": NOW + 60}, ""),
        ("later than that", {"max_auth_age": 60}, {"auth_time": NOW + 61}, ', max_age="60"'),
        ("no age demanded", {}, {"auth_time": 0}, ""),
        ("longest age", {"max_auth_age": 316_224_000}, {}, ""),
        ("level reached", {"acr": "aal1"}, {}, ""),
        ("level exceeded", {"acr": "aal2"}, {"acr": "aal3"}, ""),
        ("level not reached", {"acr": "aal2"}, {}, ', acr_values="aal2"'),
        ("level not known", {"acr": "aal1"}, {"acr": "gold"}, ', acr_values="aal1"'),
        ("level not known, none demanded", {}, {"acr": "gold"}, ""),
        (
            "age reached, level not",
            {"acr": "aal3", "max_auth_age": 60},
            {},
            ', max_age="60", acr_values="aal3"',
        ),
    ]
    return [
        _case(
            name,
            answer("STEP_UP_REQUIRED", STEP_UP + text) if text else answer("ACTIVE"),
            facts=said,
            requirement=demand,
        )
        for name, demand, said, text in demands
    ]


def _order() -> list[dict[str, Any]]:
    """Every pair of neighbours fails at the same time: the first one answers."""
    faults: list[tuple[str, dict[str, Any], str]] = [
        ("kind", {"facts": {"kind": "WEB_SESSION"}}, "WRONG_KIND"),
        ("key", {"facts": {"key_id": "ed-9"}}, "UNKNOWN"),
        ("audience", {"facts": {"audience": "billing"}}, "WRONG_AUDIENCE"),
        ("binding", {"facts": {"confirmation": BOUND}}, "BINDING_MISMATCH"),
        ("expiry", {"facts": {"expires_at": NOW}}, "EXPIRED"),
        ("issue", {"facts": {"issued_at": NOW + 61}}, "UNKNOWN"),
        ("revocation", {"entries": [entry(11, "CLIENT", "web-shop")]}, "REVOKED"),
        ("scope", {"requirement": {"scopes": ["x"]}}, "INSUFFICIENT_SCOPE"),
        ("age", {"requirement": {"max_auth_age": 1}}, "STEP_UP_REQUIRED"),
    ]
    found = []
    for first, (name, _, verdict) in enumerate(faults[:-1]):
        for other, change, _ in faults[first + 1 :]:
            merged = _merged(faults[first][1], change)
            expect = answer(verdict, SCOPE.format("x"))
            found.append(_case(f"{name} before {other}", expect, **merged))
    return found


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for name, change in other.items():
        held = merged.get(name)
        merged[name] = {**held, **change} if isinstance(held, dict) else change
    return merged


def _requirements() -> list[dict[str, Any]]:
    rows: list[tuple[dict[str, Any], str]] = [
        ({"audience": "a" * 128}, "taken"),
        ({"scopes": [f"s{n}" for n in range(64)]}, "taken"),
        ({"max_auth_age": 0.5}, "taken"),
        ({"audience": ""}, "refused"),
        ({"audience": "a" * 129}, "refused"),
        ({"audience": "a b"}, "refused"),
        ({"audience": 'a"b'}, "refused"),
        ({"audience": "\u00fc"}, "refused"),
        ({"audience": "orders\n"}, "refused"),
        ({"scopes": [""]}, "refused"),
        ({"scopes": ["s" * 65]}, "refused"),
        ({"scopes": ["a b"]}, "refused"),
        ({"scopes": ['a"b']}, "refused"),
        ({"scopes": [f"s{n}" for n in range(65)]}, "refused"),
        ({"max_auth_age": -1}, "refused"),
        ({"max_auth_age": 316_224_000.5}, "refused"),
        ({"acr": "aal4"}, "refused"),
        ({"acr": "gold"}, "refused"),
        ({"confirmation": "ff" * 31}, "refused"),
    ]
    return [
        {"name": f"{number}. {str(one)[:60]}", "requirement": one, "expect": expect}
        for number, (one, expect) in enumerate(rows, 1)
    ]
