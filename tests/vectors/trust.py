"""What keys and entries do to a token."""

from typing import Any

from tests.vectors.parts import NOW, SESSION, USER, entry, facts, key

DEVICE = "browser-1"
TOKEN = "R2FuWk4tT0xhQ1dJMWZ2Qg"
NOTHING, REVOKE, REISSUE = "", "REVOKE", "REISSUE"

# Kind, id, device of the entry; a member of the facts that it concerns, and another value of it.
_KINDS = [
    ("TOKEN", TOKEN, "", "token_id", "another"),
    ("SESSION", SESSION, "", "session_id", "00000000-0000-4000-8000-000000000000"),
    ("SUBJECT", USER, "", "subject", "another"),
    ("SUBJECT_DEVICE", USER, DEVICE, "device_id", "browser-2"),
    ("SUBJECT_DEVICE", USER, DEVICE, "subject", "another"),
    ("CLIENT", "web-shop", "", "client_id", "another"),
    ("KEY", "ed-1", "", "key_id", "ed-2"),
]
_BY_IDENTITY = {REVOKE: {"TOKEN", "SESSION", "KEY"}, REISSUE: {"TOKEN"}}


def make() -> dict[str, Any]:
    """The file."""
    return {
        "about": "What the trust log does to a token (trust.md).",
        "defaults": {"facts": facts(device_id=DEVICE)},
        "cases": [*_each_kind(), *_several(), *_dropped(), *_kids()],
        "refused_entries": _refused(),
    }


def _ask(expect: str, **changes: Any) -> dict[str, Any]:
    return {"facts": changes, "expect": expect}


def _case(name: str, entries: list[dict[str, Any]], *questions: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "entries": entries, "questions": list(questions)}


def _each_kind() -> list[dict[str, Any]]:
    found = []
    for effect in (REVOKE, REISSUE):
        for kind, target, device, member, other in _KINDS:
            later = effect if kind in _BY_IDENTITY[effect] else NOTHING
            one = entry(50, kind, target, device_id=device, effect=effect)
            found.append(
                _case(
                    f"{effect} {kind}, by {member}",
                    [one],
                    _ask(effect, rev="0"),
                    _ask(effect, rev="49"),
                    _ask(later, rev="50"),
                    _ask(later, rev="51"),
                    _ask(NOTHING, rev="49", **{member: other}),
                )
            )
        every = entry(50, "EVERYTHING", "", effect=effect)
        questions = (_ask(effect, rev="49"), _ask(NOTHING, rev="50"))
        found.append(_case(f"{effect} EVERYTHING", [every], *questions))
    return found


def _several() -> list[dict[str, Any]]:
    def subject(revision: int, effect: str = REVOKE) -> dict[str, Any]:
        return entry(revision, "SUBJECT", USER, effect=effect)

    high = 2**63 - 2
    return [
        _case("no entries", [], _ask(NOTHING, rev="0")),
        _case(
            "the newer of two about one target counts",
            [subject(20), subject(40)],
            _ask(REVOKE, rev="39"),
            _ask(NOTHING, rev="40"),
        ),
        _case(
            "revoking wins over reissuing",
            [subject(20), subject(40, REISSUE)],
            _ask(REVOKE, rev="19"),
            _ask(REISSUE, rev="20"),
            _ask(REISSUE, rev="39"),
            _ask(NOTHING, rev="40"),
        ),
        _case(
            "reissue of a session spares what was issued after it",
            [entry(20, "SESSION", SESSION, effect=REISSUE), entry(20, "CLIENT", "another")],
            _ask(REISSUE, rev="19"),
            _ask(NOTHING, rev="20"),
        ),
        _case(
            "a device that was not named is no device",
            [entry(50, "SUBJECT_DEVICE", USER, device_id=DEVICE)],
            _ask(NOTHING, rev="1", device_id=""),
        ),
        _case(
            "ids are compared exactly, and with their own kind alone",
            [
                entry(50, "SUBJECT", USER.upper()),
                entry(51, "CLIENT", USER),
                entry(52, "TOKEN", SESSION),
                entry(53, "SESSION", TOKEN),
                entry(54, "KEY", "web-shop"),
            ],
            _ask(NOTHING, rev="0"),
        ),
        _case(
            "a rolling token is a token like another one",
            [entry(50, "TOKEN", TOKEN)],
            _ask(REVOKE, kind="ROLLING", rev="60"),
        ),
        _case(
            "revisions have 64 bits",
            [subject(high)],
            _ask(REVOKE, rev=str(high - 1)),
            _ask(NOTHING, rev=str(high)),
        ),
    ]


def _dropped() -> list[dict[str, Any]]:
    def until(seconds: float, revision: int, **changes: Any) -> dict[str, Any]:
        return entry(revision, "SUBJECT", USER, keep_until=seconds, **changes)

    def case(
        name: str, at: float, entries: list[dict[str, Any]], *questions: dict[str, Any]
    ) -> dict[str, Any]:
        return {**_case(name, entries, *questions), "drop_before": at}

    return [
        case("kept until its time, inclusive", NOW, [until(NOW, 50)], _ask(REVOKE, rev="0")),
        case("dropped after it", NOW + 0.5, [until(NOW, 50)], _ask(NOTHING, rev="0")),
        case(
            "the older of two is dropped",
            NOW + 1,
            [until(NOW, 20), until(NOW + 9, 40)],
            _ask(REVOKE, rev="39"),
            _ask(NOTHING, rev="40"),
        ),
        case(
            "the newer of two is dropped",
            NOW + 1,
            [until(NOW + 9, 20), until(NOW, 40)],
            _ask(REVOKE, rev="19"),
            _ask(NOTHING, rev="20"),
        ),
        case(
            "one of two that kill by identity is dropped",
            NOW + 1,
            [
                entry(20, "SESSION", SESSION, keep_until=NOW),
                entry(40, "SESSION", SESSION, keep_until=NOW + 9),
            ],
            _ask(REVOKE, rev="99"),
        ),
        case(
            "an entry that revokes is dropped, one that reissues stays",
            NOW + 1,
            [until(NOW, 50), until(NOW + 9, 30, effect=REISSUE)],
            _ask(REISSUE, rev="29"),
            _ask(NOTHING, rev="30"),
        ),
    ]


def _kids() -> list[dict[str, Any]]:
    states = {
        "PENDING": "verifiable",
        "ACTIVE": "verifiable",
        "RETIRING": "verifiable",
        "RETIRED": "unknown",
        "UNSPECIFIED": "unknown",
        "COMPROMISED": "revoked",
    }

    def case(
        name: str, keys: list[dict[str, Any]], entries: list[dict[str, Any]], expect: str
    ) -> dict[str, Any]:
        return {**_case(name, entries, {"kid": "ed-1", "expect": expect}), "keys": keys}

    gone, spared = entry(5, "KEY", "ed-1"), entry(5, "KEY", "ed-1", effect=REISSUE)
    return [
        *(case(f"key in the state {s}", [key(state=s)], [], e) for s, e in states.items()),
        case("key that is not there", [], [], "unknown"),
        case("key that is not there and was revoked", [], [gone], "revoked"),
        case("retired key that was revoked", [key(state="RETIRED")], [gone], "revoked"),
        case("key that is not there, its tokens reissued", [], [spared], "unknown"),
    ]


def _refused() -> list[dict[str, Any]]:
    good = entry(11, "SUBJECT", USER)
    rows: list[tuple[str, dict[str, Any], str]] = [
        ("a good one", good, "taken"),
        ("for everything", {**good, "kind": "EVERYTHING", "id": ""}, "taken"),
        ("revision 0", {**good, "revision": "0"}, "refused"),
        ("kind is not known", {**good, "kind": "UNSPECIFIED"}, "refused"),
        ("effect is not known", {**good, "effect": "UNSPECIFIED"}, "refused"),
        ("no id", {**good, "id": ""}, "refused"),
        ("id of everything", {**good, "kind": "EVERYTHING"}, "refused"),
        ("device of a subject", {**good, "device_id": DEVICE}, "refused"),
        ("device missing", {**good, "kind": "SUBJECT_DEVICE"}, "refused"),
    ]
    return [{"name": name, "entry": one, "expect": expect} for name, one, expect in rows]
