"""Whether a token is one of ours, as far as this process can tell, and what it then says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenservice._decisions.decision import Principal
from tokenservice.core import (
    Facts,
    MalformedToken,
    OpaqueAccess,
    ParsedJwt,
    TokenKind,
    UnknownToken,
    Verdict,
    acr_name,
    amr_names,
    parse_jwt,
    parse_opaque,
    unpack_access,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenservice.core import SignatureCheck, TrustState


def unknown_key(kid: str) -> Verdict | None:  # noqa: ARG001 - as others that are asked
    """Say what a token is that names a key which is not in the view: none of ours."""
    return Verdict.UNKNOWN


def authenticate(
    token: str,
    trust: TrustState,
    signatures: SignatureCheck,
    unknown: Callable[[str], Verdict | None] = unknown_key,
) -> Facts | Verdict | None:
    """Read a JWT or an opaque access token and check its signature.

    The facts of an authentic one, a verdict for one that is not, None for one that only the
    server can check. No time and no revocation is looked at, except that of its key: a token
    that names a compromised key is REVOKED whatever else it holds, for nobody can tell any more
    whether it was ours. ``unknown`` is asked about a key that the view does not have.
    """
    view = trust.view
    try:
        read = _read(token, trust.issuer)
    except MalformedToken:
        return Verdict.MALFORMED
    except UnknownToken:
        return Verdict.UNKNOWN
    kid = read.key_id if isinstance(read, OpaqueAccess) else read.kid
    key = view.verifiable.get(kid)
    if key is None:
        return Verdict.REVOKED if view.key_revoked(kid) else unknown(kid)
    if isinstance(read, OpaqueAccess):
        return None if key.server_only else Verdict.UNKNOWN
    if key.alg != read.alg:
        return Verdict.UNKNOWN
    if key.server_only:
        return None
    return read.facts if signatures.check(read, view.verifiable) else Verdict.UNKNOWN


def told_facts(token: str, issuer: str, principal: Principal, confirmation: bytes) -> Facts | None:
    """Facts of a token that the server has found authentic and answered with ``principal``.

    What is written in the token holds then; of an opaque one the answer tells what is not. None
    when the two do not agree. ``confirmation`` is the one that the server was asked with.
    """
    try:
        read = _read(token, issuer)
    except (MalformedToken, UnknownToken):
        return None
    facts = (
        read.facts if isinstance(read, ParsedJwt) else _opaque_facts(read, principal, confirmation)
    )
    return facts if Principal.of(facts) == principal else None


def named_session(token: str) -> str:
    """The session that an opaque access token names, authentic or not; "" for anything else."""
    try:
        return unpack_access(parse_opaque(token).payload).session_id
    except MalformedToken:
        return ""


def named_key(token: str, issuer: str) -> str:
    """The key that a token of this issuer names; "" where it is not one."""
    try:
        read = _read(token, issuer)
    except (MalformedToken, UnknownToken):
        return ""
    return read.key_id if isinstance(read, OpaqueAccess) else read.kid


def _read(token: str, issuer: str) -> ParsedJwt | OpaqueAccess:
    if "." in token:
        return parse_jwt(token, issuer)
    return unpack_access(parse_opaque(token).payload)


def _opaque_facts(access: OpaqueAccess, principal: Principal, confirmation: bytes) -> Facts:
    return Facts(
        kind=TokenKind.ACCESS,
        subject=principal.subject,
        client_id=principal.client_id,
        session_id=access.session_id,
        device_id=principal.device_id,
        audience=principal.audience,
        scopes=principal.scopes,
        roles=principal.roles,
        issued_at=access.issued_at,
        expires_at=access.expires_at,
        auth_time=access.auth_time,
        acr=acr_name(access.acr),
        amr=amr_names(access.amr),
        token_id=access.token_id,
        key_id=access.key_id,
        rev=access.rev,
        confirmation=confirmation,
    )
