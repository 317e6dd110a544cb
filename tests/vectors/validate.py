"""The whole way: a presented string, a followed feed, the clock, and what is demanded."""

from typing import Any

from tests.vectors.feed_steps import LIMIT, about, begin, delta, message, snapshot
from tests.vectors.opaque import access, session, spell
from tests.vectors.parts import (
    ED25519,
    EXCHANGE,
    NOW,
    THUMBPRINT,
    USER,
    b64,
    claims,
    entry,
    header,
    jwt,
    key,
    requirement,
    seed,
    signed,
    unsigned,
)
from tests.vectors.verdict import SCOPE, STEP_UP, answer

_SERVERS = key("0a0b0c0d", alg="HS256", public_key="", server_only=True)
_KEYS = [key(), key("ed-0", state="COMPROMISED"), _SERVERS]
_FEED = [begin(1000), message(1000, snapshot=snapshot(keys=_KEYS))]
_GOOD = signed(header(), claims())
_ASK = "ask"


def make() -> dict[str, Any]:
    """The file."""
    return {
        "about": "From a presented string to an answer, or to the need to ask (verdict.md).",
        "staleness_limit": LIMIT,
        "defaults": {
            "feed": [{name: one[name] for name in one if name != "expect"} for one in _FEED],
            "requirement": requirement(),
            "boot": 1001,
            "min_revision": "0",
        },
        "cases": [*_authentic(), *_refused(), *_unanswered(), *_revoked(), *_renewed()],
    }


def _answer(verdict: str, challenge: str = "") -> dict[str, Any]:
    told = verdict in {"ACTIVE", "INSUFFICIENT_SCOPE", "STEP_UP_REQUIRED"}
    return {**answer(verdict, challenge), "subject": USER if told else ""}


def _case(name: str, token: str, expect: Any, **changes: Any) -> dict[str, Any]:
    return {"name": name, "token": token, **changes, "expect": expect}


def _authentic() -> list[dict[str, Any]]:
    bound = signed(header(), claims(cnf={"x5t#S256": b64(THUMBPRINT)}))
    rolling = signed(header(typ="rolling+jwt"), claims(xt=b64(EXCHANGE)))
    mine = {"confirmation": THUMBPRINT.hex()}
    return [
        _case("access token", _GOOD, _answer("ACTIVE")),
        _case("rolling token", rolling, _answer("ACTIVE")),
        _case("bound token with its certificate", bound, _answer("ACTIVE"), requirement=mine),
        _case("bound token without", bound, _answer("BINDING_MISMATCH")),
        _case(
            "another audience",
            _GOOD,
            _answer("WRONG_AUDIENCE"),
            requirement={"audience": "billing"},
        ),
        _case(
            "a scope is missing",
            _GOOD,
            _answer("INSUFFICIENT_SCOPE", SCOPE.format("orders.delete")),
            requirement={"scopes": ["orders.delete"]},
        ),
        _case(
            "the login is too old",
            _GOOD,
            _answer("STEP_UP_REQUIRED", STEP_UP + ', max_age="30"'),
            requirement={"max_auth_age": 30},
        ),
        _case("expired", signed(header(), claims(exp=NOW + 1)), _answer("EXPIRED")),
        _case(
            "not yet issued",
            signed(header(), claims(iat=NOW + 62, exp=NOW + 300)),
            _answer("UNKNOWN"),
        ),
    ]


def _refused() -> list[dict[str, Any]]:
    first = unsigned(header(), claims())
    other = f"{first}.{b64(ED25519.sign(first.encode() + b'.'))}"
    changed = signed(header(), claims()).split(".")
    changed[1] = unsigned(header(), claims(sub="another")).split(".")[1]
    return [
        _case("empty", "", _answer("MALFORMED")),
        _case("no token of ours", "0123456789abcdef", _answer("MALFORMED")),
        _case("alg none", jwt(header(alg="none"), claims(), b""), _answer("MALFORMED")),
        _case("signature of another text", other, _answer("UNKNOWN")),
        _case("claims changed", ".".join(changed), _answer("UNKNOWN")),
        _case("kid that nobody knows", signed(header(kid="ed-7"), claims()), _answer("UNKNOWN")),
        _case(
            "another issuer",
            signed(header(), claims(iss="https://other.example")),
            _answer("UNKNOWN"),
        ),
        _case("compromised key", signed(header(kid="ed-0"), claims()), _answer("REVOKED")),
        _case("web session token", spell("web", session("web")), _answer("WRONG_KIND")),
        _case("api session token", spell("api", session("api")), _answer("WRONG_KIND")),
        _case("client secret", spell("cs", seed("secret cs")), _answer("WRONG_KIND")),
        _case("session token, damaged", spell("web", session("web"))[:-1], _answer("MALFORMED")),
    ]


def _unanswered() -> list[dict[str, Any]]:
    opaque = spell("acc", access())
    session_token = spell("mob", session("mob"))
    nobody: dict[str, Any] = {"feed": []}
    return [
        _case("opaque access token", opaque, _ASK),
        _case("at the staleness limit", _GOOD, _answer("ACTIVE"), boot=1005),
        _case("beyond the staleness limit", _GOOD, _ASK, boot=1005.25),
        _case("beyond it, forged", jwt(header(), claims()), _ASK, boot=1005.25),
        _case("beyond it, malformed", "a.b", _answer("MALFORMED"), boot=1005.25),
        _case("beyond it, a session token", session_token, _answer("WRONG_KIND"), boot=1005.25),
        _case("nothing is known yet", _GOOD, _ASK, **nobody),
        _case("nothing is known yet, malformed", "x", _answer("MALFORMED"), **nobody),
        _case(
            "nothing is known yet, a session token", session_token, _answer("WRONG_KIND"), **nobody
        ),
        _case("the view's revision is demanded", _GOOD, _answer("ACTIVE"), min_revision="10"),
        _case("a later revision is demanded", _GOOD, _ASK, min_revision="11"),
        _case("a later one, malformed", "x", _answer("MALFORMED"), min_revision="11"),
        _case(
            "the log is another one",
            _GOOD,
            _ASK,
            feed=[*_FEED, message(1001, epoch="another", heartbeat={})],
        ),
    ]


def _revoked() -> list[dict[str, Any]]:
    sid = claims()["sid"]
    entries = {
        "token": entry(11, "TOKEN", "R2FuWk4tT0xhQ1dJMWZ2Qg"),
        "session": entry(11, "SESSION", sid),
        "subject": about(11),
        "client": entry(11, "CLIENT", "web-shop"),
        "key": entry(11, "KEY", "ed-1"),
        "everything": entry(11, "EVERYTHING", ""),
        "device": entry(11, "SUBJECT_DEVICE", USER, device_id="phone"),
    }
    found = []
    token = signed(header(), claims(dev="phone"))
    for name, one in entries.items():
        feed = [*_FEED, message(1001, revision="11", delta=delta(10, one))]
        found.append(_case(f"revoked by {name}", token, _answer("REVOKED"), feed=feed))
        spared = {**one, "effect": "REISSUE"}
        feed = [*_FEED, message(1001, revision="11", delta=delta(10, spared))]
        found.append(_case(f"reissued by {name}", token, _answer("EXPIRED"), feed=feed))
    return found


def _renewed() -> list[dict[str, Any]]:
    """What is issued after a revocation knows of it."""
    feed = [*_FEED, message(1001, revision="11", delta=delta(10, about(11)))]
    again = signed(header(), claims(rev=11))
    gone = [*_FEED, message(1001, delta=delta(10, keys=[key("ed-5")]))]
    return [
        _case("issued after the revocation", again, _answer("ACTIVE"), feed=feed),
        _case("its key is published no more", _GOOD, _answer("UNKNOWN"), feed=gone),
    ]
