"""What clients and servers derive from tokens and secrets, and how people's codes are read."""

import base64
import hmac
from hashlib import sha256
from typing import Any

from tests.vectors.opaque import LOOKUP, session, spell
from tests.vectors.parts import seed

_SECRET = spell("cs", seed("secret cs"))
_CODE = "7Q0123456789ABCDEF"


def make() -> dict[str, Any]:
    """The file."""
    return {
        "about": "Keys, exchange ids, fingerprints, credentials and pairing codes (tokens.md).",
        "keys": _keys(),
        "exchange_ids": _exchange_ids(),
        "fingerprints": _fingerprints(),
        "authorizations": _authorizations(),
        "pairing_codes": _pairing_codes(),
    }


def _hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 for 32 bytes, without salt."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def _key(client_id: str, secret: str) -> bytes:
    info = b"tokenservice client key v1\x00exchange id\x00" + client_id.encode()
    return _hkdf(secret.encode(), info)


def _keys() -> list[dict[str, Any]]:
    rows = [("web-shop", _SECRET), ("another", _SECRET), ("web-shop", spell("cs", seed("other")))]
    return [
        {
            "name": f"key {number} of a client's secret",
            "client_id": client_id,
            "client_secret": secret,
            "purpose": "exchange id",
            "expect": _key(client_id, secret).hex(),
        }
        for number, (client_id, secret) in enumerate(rows, 1)
    ]


def _exchange_ids() -> list[dict[str, Any]]:
    key = _key("web-shop", _SECRET)
    tokens = {
        "session token": spell("web", session("web")),
        "its successor": spell("web", session("web", 8)),
    }
    return [
        {
            "name": name,
            "key": key.hex(),
            "token": token,
            "expect": hmac.digest(key, token.encode(), "sha256")[:16].hex(),
        }
        for name, token in tokens.items()
    ]


def _fingerprints() -> list[dict[str, Any]]:
    found = []
    for purpose in ("exchange", "reauthenticate"):
        for generation in (0, 7, 2**32 - 1):
            parts = [purpose.encode(), bytes(range(16, 32)), LOOKUP]
            parts += [generation.to_bytes(4, "big"), b"web-shop"]
            fields = b"".join(len(one).to_bytes(4, "big") + one for one in parts)
            found.append(
                {
                    "name": f"{purpose} of generation {generation}",
                    "purpose": purpose,
                    "exchange_id": bytes(range(16, 32)).hex(),
                    "lookup_id": LOOKUP.hex(),
                    "generation": generation,
                    "client_id": "web-shop",
                    "expect": sha256(b"tokenservice exchange v2\x00" + fields).hexdigest(),
                }
            )
    return found


def _authorizations() -> list[dict[str, Any]]:
    pairs = {
        "usual": ("web-shop", _SECRET, f"web-shop:{_SECRET}"),
        "characters that are encoded": ("a:b", "c%d/e f", "a%3Ab:c%25d%2Fe%20f"),
    }
    return [
        {
            "name": name,
            "client_id": client_id,
            "client_secret": secret,
            "expect": "Basic " + base64.b64encode(pair.encode()).decode(),
        }
        for name, (client_id, secret, pair) in pairs.items()
    ]


def _pairing_codes() -> list[dict[str, Any]]:
    rows: dict[str, tuple[str, str | None]] = {
        "as it is": (_CODE, _CODE),
        "in groups": ("7Q0123-456789-ABCDEF", _CODE),
        "in lower case with blanks": (" 7q0123 456789 abcdef", _CODE),
        "letters that look like digits": ("7QOI23456789ABCDEF", _CODE),
        "l for 1": ("7Q0l23456789ABCDEF", _CODE),
        "U is in no alphabet": ("7Q0123456789ABCDEU", None),
        "one character less": (_CODE[:-1], None),
        "one character more": (_CODE + "0", None),
        "another separator": ("7Q0123_456789_ABCDEF", None),
        "empty": ("", None),
        "the whole URI": (f"tokenservice:pair/map/{_CODE}", None),
    }
    return [{"name": name, "text": text, "expect": expect} for name, (text, expect) in rows.items()]
