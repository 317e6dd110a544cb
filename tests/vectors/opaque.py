"""Opaque strings: forms, payloads, MACs."""

import hmac
import struct
from typing import Any
from uuid import UUID
from zlib import crc32

from tests.vectors.parts import NOW, SESSION, b64, header, jwt, seed

LOOKUP = bytes(range(16))
KEY_ID = "0a0b0c0d"
MINT_KEY = seed("mint key")
ACCESS_KEY = seed("access key")
MALFORMED = {"form": "malformed"}
KINDS = {"web": "WEB_SESSION", "mob": "MOBILE_SESSION", "api": "API_SESSION"}
SECRETS = {"cs": "client", "rs": "registration", "pw": "watch", "ps": "scan"}


def spell(code: str, payload: bytes) -> str:
    """An opaque string with the right checksum, whatever its code and length."""
    checksum = crc32(code.encode() + payload).to_bytes(4, "big")
    return f"tsk_{code}_{b64(payload + checksum)}"


def session(code: str, generation: int = 7, key: bytes = MINT_KEY) -> bytes:
    """A session payload."""
    body = bytes.fromhex(KEY_ID) + LOOKUP + generation.to_bytes(4, "big")
    return body + hmac.digest(key, code.encode() + body, "sha256")[:20]


def access(acr: int = 2, amr: int = 0b11, key: bytes = ACCESS_KEY, kid: str = KEY_ID) -> bytes:
    """An opaque access payload."""
    body = bytes.fromhex(kid) + UUID(SESSION).bytes
    body += struct.pack(">IBQIIQI", 7, 1, 2**63 + 5, NOW, NOW + 300, 2**63 - 1, NOW - 60)
    body += bytes((acr, amr))
    return body + hmac.digest(key, b"acc" + body, "sha256")[:16]


def make() -> dict[str, Any]:
    """The file."""
    return {
        "about": "Opaque strings (tokens.md). `macs` need keys that only a server has.",
        "cases": [*_good(), *_bad(), *_others()],
        "macs": _macs(),
    }


def _good() -> list[dict[str, Any]]:
    found = []
    for code, kind in KINDS.items():
        payload = session(code)
        said = {
            "mint_key_id": "0a0b0c0d",
            "lookup_id": "000102030405060708090a0b0c0d0e0f",
            "generation": 7,
            "mac": payload[24:].hex(),
        }
        expect = {"form": "session", "kind": kind, "code": code, "payload": payload.hex()}
        name = f"session token, code {code}"
        found.append(_case(name, spell(code, payload), {**expect, "session": said}))
    found += [_access(2, "aal2", 0b11, ["pwd", "otp"]), _access(0, "", 0, [])]
    found += [_access(3, "aal3", 0b1111, ["pwd", "otp", "app", "xdev"])]
    found += [_access(4, "", 0b11110001, ["pwd"])]
    for code, name in SECRETS.items():
        payload = seed(f"secret {code}")
        expect = {"form": "credential", "code": code, "payload": payload.hex()}
        found.append(_case(f"{name} secret, code {code}", spell(code, payload), expect))
    underscores = b"\xff" * 32
    expect = {"form": "credential", "code": "cs", "payload": underscores.hex()}
    found.append(_case("underscores in the payload's text", spell("cs", underscores), expect))
    return found


def _access(acr: int, level: str, amr: int, methods: list[str]) -> dict[str, Any]:
    payload = access(acr, amr)
    said = {
        "key_id": "0a0b0c0d",
        "session_id": SESSION,
        "generation": 7,
        "audience_index": 1,
        "scope_mask": "9223372036854775813",
        "issued_at": 1800000000,
        "expires_at": 1800000300,
        "rev": "9223372036854775807",
        "auth_time": 1799999940,
        "acr": level,
        "amr": methods,
        "token_id": f"{SESSION}.7.1",
    }
    expect = {"form": "opaque_access", "code": "acc", "payload": payload.hex(), "access": said}
    return _case(f"opaque access token, level {acr}, methods {amr}", spell("acc", payload), expect)


def _bad() -> list[dict[str, Any]]:
    web, payload = spell("web", session("web")), session("web")
    text = web.removeprefix("tsk_web_")
    swapped = text[1] + text[0] + text[2:]
    texts = {
        "empty": "",
        "prefix alone": "tsk_",
        "no code": "tsk__" + text,
        "no second underscore": "tsk_web" + text,
        "no payload": "tsk_web_",
        "another prefix": web.replace("tsk", "tks", 1),
        "prefix in upper case": web.replace("tsk", "TSK", 1),
        "code in upper case": web.replace("web", "WEB", 1),
        "unknown code with the right checksum": spell("xyz", payload),
        "code of a rolling token's claim": spell("rol", payload),
        "name of a member of every object as code": spell("constructor", payload),
        "code changed to another one of this length": web.replace("web", "mob", 1),
        "one character changed": web[:20] + ("A" if web[20] != "A" else "B") + web[21:],
        "two characters swapped": "tsk_web_" + swapped,
        "one character missing": web[:-1],
        "one character more": web + "A",
        "checksum missing": f"tsk_web_{b64(payload)}",
        "one byte less, checksum right": spell("web", payload[:-1]),
        "three bytes more, checksum right": spell("web", payload + b"abc"),
        "payload of an access token": spell("web", access()),
        "checksum in the other byte order": _other_order(payload),
        "checksum without the code": _checksum_without_code(payload),
        "padding": web + "=",
        "padding in place of a character": web[:-1] + "=",
        "alphabet of standard base64": spell("cs", b"\xff" * 32)
        .replace("_", "/")
        .replace("tsk/cs/", "tsk_cs_", 1),
        "blank before": " " + web,
        "blank after": web + " ",
        "line feed after": web + "\n",
        "line feed in place of a character": web[:-1] + "\n",
        "NUL after": web + "\x00",
        "character that is not ASCII": web[:-1] + "\u00e9",
        "digits that are not ASCII": web[:-1] + "\u0661",
        "lone surrogate": web[:-1] + "\ud800",
        "hyphens for underscores": web.replace("_", "-", 2),
    }
    return [_case(name, one, MALFORMED) for name, one in texts.items()]


def _others() -> list[dict[str, Any]]:
    token = jwt(header(), "{}")
    texts = {
        "a word": "token",
        "one dot": "a.b",
        "three dots": "a.b.c.d",
        "a JWT with a character that is not ASCII": token + "\u00e9",
        "8193 characters": "a." + "b" * 8189 + ".c",
    }
    jwts = {"two dots": "..", "a JWT": token, "8192 characters": "a." + "b" * 8188 + ".c"}
    return [
        *(_case(name, one, MALFORMED) for name, one in texts.items()),
        *(_case(name, one, {"form": "jwt"}) for name, one in jwts.items()),
    ]


def _macs() -> list[dict[str, Any]]:
    web, acc = session("web"), access()
    changed = bytes((*web[:20], web[20] ^ 1, *web[21:]))
    rows = [
        ("session payload", "web", web, MINT_KEY, True),
        ("of the highest generation", "mob", session("mob", 2**32 - 1), MINT_KEY, True),
        ("claim xt of a rolling token", "rol", session("rol"), MINT_KEY, True),
        ("opaque access payload", "acc", acc, ACCESS_KEY, True),
        ("for another code", "mob", web, MINT_KEY, False),
        ("claim xt as a session token", "web", session("rol"), MINT_KEY, False),
        ("under another key", "web", web, seed("another key"), False),
        ("generation changed", "web", changed, MINT_KEY, False),
        ("last bit changed", "web", bytes((*web[:-1], web[-1] ^ 1)), MINT_KEY, False),
        ("one byte less", "web", web[:-1], MINT_KEY, False),
        ("one byte more", "web", web + b"\x00", MINT_KEY, False),
        ("access payload under the mint key", "acc", acc, MINT_KEY, False),
    ]
    return [
        {"name": name, "code": code, "payload": data.hex(), "key": key.hex(), "expect": expect}
        for name, code, data, key, expect in rows
    ]


def _other_order(payload: bytes) -> str:
    return f"tsk_web_{b64(payload + crc32(b'web' + payload).to_bytes(4, 'little'))}"


def _checksum_without_code(payload: bytes) -> str:
    return f"tsk_web_{b64(payload + crc32(payload).to_bytes(4, 'big'))}"


def _case(name: str, text: str, expect: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "text": text, "expect": expect}
