"""Claims in the very spelling that the server writes, read in one step.

Reading a token for the first time should cost little beside the check of its signature, and the
general reader (:mod:`tokenservice.core.tokens.jose`) costs a quarter of that. Here one pattern
stands for the document and the rules of every claim. Whatever it does not match is left to the
general reader, and what it does match reads the same there: a test compares the two.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from tokenservice.core.errors import MalformedToken, UnknownToken
from tokenservice.core.facts import Facts
from tokenservice.core.kinds import TokenKind
from tokenservice.core.limits import (
    CLIENT_ID_PATTERN,
    MAX_DEVICE_ID_LENGTH,
    MAX_ISSUER_LENGTH,
)
from tokenservice.core.tokens.claim_values import (
    MAX_METHODS,
    MAX_ROLES,
    MAX_TIME,
    scope_set,
    shared,
)
from tokenservice.core.tokens.encoding import decode_base64url

# JSON strings without escapes: visible ASCII but for quote and backslash.
_CHAR: Final = r"[!#-\[\]-~]"
_NAME: Final = rf"{_CHAR}{{1,{MAX_ISSUER_LENGTH}}}"
_NUMBER: Final = r"(0|[1-9][0-9]{0,17})"
_WORD_LIST: Final = rf'\[((?:"{_CHAR}{{1,64}}"(?:,"{_CHAR}{{1,64}}")*)?)\]'

_USUAL: Final = re.compile(
    rf'\{{"iss":"({_NAME})"'
    rf',"sub":"({_NAME})"'
    rf',"aud":"({_NAME})"'
    rf',"exp":{_NUMBER}'
    rf',"iat":{_NUMBER}'
    rf',"jti":"({_CHAR}{{1,128}})"'
    rf',"client_id":"({CLIENT_ID_PATTERN})"'
    r',"sid":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"'
    rf',"scope":"((?:{_CHAR}+(?: {_CHAR}+)*)?)"'
    rf',"auth_time":{_NUMBER}'
    rf',"acr":"({_CHAR}{{1,64}})"'
    rf',"amr":{_WORD_LIST}'
    rf',"rev":{_NUMBER}'
    rf'(?:,"roles":{_WORD_LIST})?'
    rf'(?:,"dev":"([ !#-\[\]-~]{{1,{MAX_DEVICE_ID_LENGTH}}})")?'
    r'(?:,"cnf":\{"x5t#S256":"([A-Za-z0-9_-]{43})"\})?'
    r'(?:,"xt":"([A-Za-z0-9_-]{59})")?'
    r"\}"
)


def read_usual(
    document: bytes, kind: TokenKind, kid: str, issuer: str
) -> tuple[Facts, bytes | None] | None:
    """Give the facts and the exchange claim, or None where the general reader is needed.

    Raises UnknownToken for another issuer and MalformedToken, as that does.
    """
    # Latin-1 reads any bytes; the pattern lets none of them pass that is not ASCII.
    match = _USUAL.fullmatch(document.decode("latin-1"))
    if match is None:
        return None
    (
        iss, sub, aud, exp, iat, jti, client_id, sid, scope,
        auth_time, acr, amr, rev, roles, dev, cnf, xt,
    ) = match.groups()  # fmt: skip
    if iss != issuer:
        raise UnknownToken("foreign issuer")
    if (xt is None) is (kind is TokenKind.ROLLING):
        raise MalformedToken("xt")
    issued_at, expires_at, authenticated_at = int(iat), int(exp), int(auth_time)
    if not issued_at < expires_at <= MAX_TIME or authenticated_at > MAX_TIME:
        raise MalformedToken("a time is out of range")
    facts = Facts(
        kind=kind,
        subject=sub,
        client_id=shared(client_id),
        session_id=sid,
        device_id=dev or "",
        audience=shared(aud),
        scopes=scope_set(scope),
        roles=_words(roles, MAX_ROLES) if roles is not None else (),
        issued_at=issued_at,
        expires_at=expires_at,
        auth_time=authenticated_at,
        acr=shared(acr),
        amr=_words(amr, MAX_METHODS),
        token_id=jti,
        key_id=kid,
        rev=int(rev),
        confirmation=decode_base64url(cnf) if cnf is not None else b"",
    )
    return facts, decode_base64url(xt) if xt is not None else None


@lru_cache(maxsize=256)
def _words(text: str, most: int) -> tuple[str, ...]:
    """Take a list of words apart: what stands between its brackets."""
    words = tuple(text[1:-1].split('","')) if text else ()
    if len(words) > most or len(set(words)) != len(words):
        raise MalformedToken("a list is too long or repeats itself")
    return words
