"""JWTs as text: what is read of them, and what is no token of ours."""

import json
from typing import Any

from tests.vectors.jwt_claims import BAD_CLAIMS, GOOD_CLAIMS
from tests.vectors.parts import EXCHANGE, ISSUER, b64, claims, facts, header, jwt, text

BODY = text(claims())
HEAD = text(header())
USUAL = jwt(header(), claims())

BAD_HEADERS: list[dict[str, Any]] = [
    {"alg": None},
    {"alg": "none"},
    {"alg": "None"},
    {"alg": "eddsa"},
    {"alg": "ES384"},
    {"alg": "HS512"},
    {"alg": ["EdDSA"]},
    {"alg": 1},
    {"kid": None},
    {"kid": ""},
    {"kid": 5},
    {"kid": "../../dev/null"},
    {"kid": "k' OR 1=1 --"},
    {"kid": "k" * 65},
    {"kid": "ed-1\n"},
    {"typ": None},
    {"typ": "JWT"},
    {"typ": "AT+JWT"},
    {"typ": "application/at+jwt"},
    {"typ": "toString"},
    {"typ": ["at+jwt"]},
    {"jwk": {"kty": "OKP"}},
    {"jku": "https://keys.example"},
    {"x5u": "https://keys.example"},
    {"x5c": ["x"]},
    {"crit": ["exp"]},
    {"b64": True},
    {"zip": "DEF"},
    {"cty": "JWT"},
    {"enc": "A256GCM"},
]

NOT_STRICT = {
    "NaN": '"note":NaN',
    "Infinity": '"note":Infinity',
    "number that is not finite": '"note":1e999',
    "negative number that is not finite": '"note":-1e999',
    "integer of 21 characters": '"note":' + "9" * 21,
    "negative integer of 21 characters": '"note":-' + "9" * 20,
    "leading zero": '"note":01',
    "plus sign": '"note":+1',
    "no digit after the point": '"note":1.',
    "tab in a string": '"note":"\t"',
    "unknown escape": r'"note":"\x41"',
    "short escape": r'"note":"\u41"',
    "escape with a sign": r'"note":"\u+041"',
    "string without an end": '"note":"',
    "single quotes": "'note':1",
    "comma at the end": '"note":1,',
    "comment": '"note":1/**/',
    "name without quotes": "note:1",
    "vertical tab as a blank": '"note":\v1',
    "no-break space as a blank": '"note":\u00a01',
    "True": '"note":True',
    "name twice": '"note":1,"note":1',
    "aud twice": '"aud":"orders"',
    "name twice, once escaped": r'"\u0061ud":"orders"',
    "name twice in an inner object": '"note":{"a":1,"a":1}',
    "name twice in an object in a list": '"note":[{"a":1,"a":2}]',
    "65 objects and arrays": '"note":' + "[" * 63 + "]" * 63,
    "65 objects and arrays side by side": '"note":[' + ",".join(["[]"] * 62) + "]",
}

STRICT = {
    "unknown claims": '"note":[true,false,null,{"ratio":0.5,"big":1e300}]',
    "integer of 20 characters": '"note":-9223372036854775808',
    "a member named like one of every object": '"__proto__":{"a":1}',
    "64 objects and arrays": '"note":' + "[" * 62 + "]" * 62,
    "brackets in strings": '"note":"' + "[" * 200 + '"',
    "all escapes": r'"note":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"',
    "lone surrogate in an unknown claim": r'"note":"\ud800"',
    "text that is not ASCII": '"note":"\u00e9\u4e16\U0001f600"',
    "blanks inside": ' \t\r\n"note" : [ 1 , 2 ] ',
}


def make() -> dict[str, Any]:
    """The file."""
    cases = [*_good(), *_headers(), *_documents(), *_claims(), *_compact(), *_foreign()]
    return {
        "about": "JWTs, read strictly and without their signatures (tokens.md).",
        "issuer": ISSUER,
        "cases": [
            {"name": name, "token": token, "expect": expect} for name, token, expect in cases
        ],
    }


def read(**changes: Any) -> dict[str, Any]:
    """What is read of a good token."""
    return {"kid": "ed-1", "alg": "EdDSA", "facts": facts(**changes), "exchange": None}


def _good() -> list[tuple[str, str, Any]]:
    rolling = jwt(header(typ="rolling+jwt"), claims(xt=b64(EXCHANGE)))
    algorithms = ("ES256", "RS256", "PS256", "HS256")
    longest = "K._-" + "k" * 60
    wide = HEAD[:-1] + " " * (192 - len(HEAD)) + "}"
    return [
        ("access token", USUAL, read()),
        ("rolling token", rolling, {**read(kind="ROLLING"), "exchange": EXCHANGE.hex()}),
        *((f"alg {a}", jwt(header(alg=a), claims()), {**read(), "alg": a}) for a in algorithms),
        (
            "longest kid",
            jwt(header(kid=longest), claims()),
            {**read(key_id=longest), "kid": longest},
        ),
        ("header of 256 characters", jwt(wide, claims()), read()),
        ("members of the header in another order", jwt(_reversed(header()), claims()), read()),
        ("claims in another order", jwt(header(), _reversed(claims())), read()),
        ("signature of one byte", jwt(header(), claims(), b"\x00"), read()),
        *((name, jwt(header(), f"{BODY[:-1]},{one}}}"), read()) for name, one in STRICT.items()),
        *(
            (f"claims {text(change)[:70]}", jwt(header(), claims(**change)), read(**said))
            for change, said in GOOD_CLAIMS
        ),
    ]


def _headers() -> list[tuple[str, str, Any]]:
    wide = HEAD[:-1] + " " * (193 - len(HEAD)) + "}"
    texts = {
        "header of more than 256 characters": wide,
        "alg twice": HEAD[:-1] + ',"alg":"EdDSA"}',
        "header is a list": "[]",
        "header is empty": "",
        "blank before the header": " " + HEAD,
    }
    return [
        *(
            (f"header {text(change)[:70]}", jwt(header(**change), claims()), "MALFORMED")
            for change in BAD_HEADERS
        ),
        *((name, jwt(head, claims()), "MALFORMED") for name, head in texts.items()),
    ]


def _documents() -> list[tuple[str, str, Any]]:
    wholes: dict[str, str | bytes] = {
        "payload is a list": "[]",
        "payload is a text": '"text"',
        "payload is null": "null",
        "payload is empty": "",
        "payload without an end": BODY[:-1],
        "payload is an empty object": "{}",
        "blank before the payload": " " + BODY,
        "line feed after the payload": BODY + "\n",
        "two objects": BODY + "{}",
        "byte order mark": b"\xef\xbb\xbf" + BODY.encode(),
        "UTF-16": BODY.encode("utf-16-be"),
        "overlong UTF-8": _with_bytes(b"\xc0\xaf"),
        "surrogate in UTF-8": _with_bytes(b"\xed\xa0\x80"),
        "byte that is no UTF-8": _with_bytes(b"\xff"),
    }
    return [
        *((name, jwt(header(), body), "MALFORMED") for name, body in wholes.items()),
        *(
            (name, jwt(header(), f"{BODY[:-1]},{one}}}"), "MALFORMED")
            for name, one in NOT_STRICT.items()
        ),
    ]


def _claims() -> list[tuple[str, str, Any]]:
    bad: list[dict[str, Any]] = [
        *({name: None} for name in claims()),
        *({name: {}} for name in claims()),
        *({name: True} for name in claims()),
        *BAD_CLAIMS,
    ]
    rolling = header(typ="rolling+jwt")
    exchanges: dict[str, Any] = {
        "no xt": None,
        "an empty xt": "",
        "a number as xt": 5,
        "an xt of 43 bytes": b64(EXCHANGE[:43]),
        "an xt of 45 bytes": b64(EXCHANGE + b"\x00"),
        "padding after xt": b64(EXCHANGE) + "=",
    }
    nulls = [
        (f"{name} is null", jwt(header(), f'{BODY[:-1]},"{name}":null}}'), "MALFORMED")
        for name in ("roles", "dev", "cnf", "xt")
    ]
    written = {
        "time with a fraction": BODY.replace('"iat":1800000000', '"iat":1800000000.0'),
        "time with an exponent": BODY.replace('"iat":1800000000', '"iat":18e8'),
        "lone surrogate as device": BODY[:-1] + r',"dev":"\ud800"}',
    }
    return [
        *(
            (f"claims {json.dumps(change)[:70]}", jwt(header(), claims(**change)), "MALFORMED")
            for change in bad
        ),
        *(
            (f"rolling token with {name}", jwt(rolling, claims(xt=one)), "MALFORMED")
            for name, one in exchanges.items()
        ),
        ("access token with xt", jwt(header(), claims(xt=b64(EXCHANGE))), "MALFORMED"),
        *nulls,
        *((name, jwt(header(), body), "MALFORMED") for name, body in written.items()),
        ("rev written as -0", jwt(header(), BODY.replace('"rev":10', '"rev":-0')), read(rev="0")),
    ]


def _compact() -> list[tuple[str, str, Any]]:
    head, body, signature = USUAL.split(".")
    long = jwt(header(), claims(note="n" * 5000), b"")
    room = 8192 - len(long)
    texts = {
        "no signature": f"{head}.{body}.",
        "no signature and no dot": f"{head}.{body}",
        "no payload": f"{head}..{signature}",
        "no header": f".{body}.{signature}",
        "nothing but dots": "..",
        "one part more": f"{USUAL}.{signature}",
        "empty part more": f"{USUAL}.",
        "empty part before": f".{USUAL}",
        "JSON serialisation": json.dumps(
            {"protected": head, "payload": body, "signature": signature}
        ),
        "alg none without a signature": jwt(header(alg="none"), claims(), b""),
        "unused bits of the signature's last character": USUAL[:-1] + "B",
        "unused bits of the header's last character": _stray(head, body, signature),
        "part of a length that no bytes have": f"{USUAL}AAA",
        "8193 characters": long + "A" * (room + 1),
        "blank before": " " + USUAL,
        "line feed after": USUAL + "\n",
    }
    junk = {"padding": "=", "plus": "+", "slash": "/", "blank": " ", "line feed": "\n", "NUL": "\0"}
    for name, one in junk.items():
        texts[f"{name} in the header"] = f"{head[:-1]}{one}.{body}.{signature}"
        texts[f"{name} in the payload"] = f"{head}.{body[:-1]}{one}.{signature}"
        texts[f"{name} in the signature"] = f"{USUAL[:-1]}{one}"
    good = ("8192 characters", long + "A" * room, read())
    return [*((name, one, "MALFORMED") for name, one in texts.items()), good]


def _foreign() -> list[tuple[str, str, Any]]:
    issuers = (ISSUER + "/", ISSUER.upper(), ISSUER[:-1], "https://other.example")
    other: dict[str, Any] = {"iss": "https://other.example"}
    head, body, _ = jwt(header(), claims(**other)).split(".")
    return [
        *((f"issuer {one}", jwt(header(), claims(iss=one)), "UNKNOWN") for one in issuers),
        ("another issuer, and no other claim", jwt(header(), other), "UNKNOWN"),
        ("another issuer, and a bad claim", jwt(header(), claims(**other, rev=-1)), "UNKNOWN"),
        ("another issuer, and xt", jwt(header(), claims(**other, xt="x")), "UNKNOWN"),
        ("another issuer, and no signature", f"{head}.{body}.", "UNKNOWN"),
        ("another issuer, and a bad header", jwt(header(typ="JWT"), other), "MALFORMED"),
        (
            "another issuer, and a name twice",
            jwt(header(), '{"iss":"https://other.example","a":1,"a":1}'),
            "MALFORMED",
        ),
    ]


def _reversed(members: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(members.items()))


def _with_bytes(data: bytes) -> bytes:
    return text(claims(dev="DEVICE")).encode().replace(b"DEVICE", data)


def _stray(head: str, body: str, signature: str) -> str:
    """The header one byte longer, so that its last character has unused bits; then one is set."""
    longer = b64((HEAD[:-1] + " " * (-len(HEAD) % 3 + 1) + "}").encode())
    assert longer[-1] in "AQgw"
    return f"{longer[:-1]}{chr(ord(longer[-1]) + 1)}.{body}.{signature}"
