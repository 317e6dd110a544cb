"""Rows of the sessions table as records, and the other way round."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from asyncpg import Record

from token_service.adapters.postgres.policy_json import policy_from_text
from token_service.adapters.postgres.trust_head import JOIN_HEAD, missing, of_head
from token_service.domain.kinds import (
    Amr,
    ClientState,
    KeyState,
    Platform,
    RevocationReason,
    TokenKind,
)
from token_service.domain.sessions.session import Device, Generation, Session, SessionView

# A new session's columns in the order of `session_args`, with their types; `rev` is not among
# them, it comes from the trust head in the statement that inserts.
_NEW: Mapping[str, str] = {
    "session_id": "uuid",
    "lookup_id": "uuid",
    "kind": "smallint",
    "platform": "smallint",
    "acr": "smallint",
    "amr": "smallint",
    "generation": "integer",
    "idle_seconds": "integer",
    "user_id": "uuid",
    "created_at": "timestamptz",
    "auth_time": "timestamptz",
    "rotated_at": "timestamptz",
    "last_active_at": "timestamptz",
    "idle_expires_at": "timestamptz",
    "absolute_expires_at": "timestamptz",
    "client_id": "text",
    "mint_kid": "text",
    "exchange_hash": "bytea",
    "confirmation": "bytea",
    "audiences": "text[]",
    "scopes": "text[]",
    "roles": "text[]",
    "device_id": "text",
    "device_name": "text",
    "user_agent": "text",
    "ip_address": "text",
    "parent_session_id": "uuid",
    "pairing_id": "uuid",
}
NEW_COLUMNS = ", ".join(_NEW)
NEW_VALUES = ", ".join(f"${place}::{kind}" for place, kind in enumerate(_NEW.values(), 1))
NEW_COUNT = len(_NEW)
PLACE = {name: f"${place}::{kind}" for place, (name, kind) in enumerate(_NEW.items(), 1)}
"""The parameter of each column of a new session."""

_LATER = ("rev", "revoked_at", "revoked_reason", "exchange_fingerprint")
SESSION_COLUMNS = ", ".join(f"s.{name}" for name in (*_NEW, *_LATER))
"""What `session_from_row` reads, for a query that calls the table `s`."""


def session_args(session: Session) -> tuple[object, ...]:
    """The parameters of NEW_VALUES."""
    return (
        session.session_id,
        session.lookup_id,
        session.kind,
        session.platform,
        session.acr,
        session.amr,
        session.generation,
        session.idle_seconds,
        session.user_id,
        session.created_at,
        session.auth_time,
        session.rotated_at,
        session.last_active_at,
        session.idle_expires_at,
        session.absolute_expires_at,
        session.client_id,
        session.mint_kid,
        session.exchange_hash,
        session.confirmation or None,
        session.audiences,
        session.scopes,
        session.roles,
        session.device.device_id,
        session.device.name,
        session.device.user_agent,
        session.device.ip_address,
        session.parent_session_id,
        session.pairing_id,
    )


# Looked up: making an enum member of its number costs ten times as much.
_KINDS = {kind.value: kind for kind in TokenKind}
_PLATFORMS = {platform.value: platform for platform in Platform}
_amr = lru_cache(maxsize=256)(Amr)


def session_from_row(row: Record) -> Session:
    """A session of a row with SESSION_COLUMNS."""
    reason = row["revoked_reason"]
    return Session(
        session_id=row["session_id"],
        lookup_id=row["lookup_id"],
        kind=_KINDS[row["kind"]],
        platform=_PLATFORMS[row["platform"]],
        client_id=row["client_id"],
        user_id=row["user_id"],
        generation=row["generation"],
        mint_kid=row["mint_kid"],
        exchange_hash=row["exchange_hash"],
        rev=row["rev"],
        acr=row["acr"],
        amr=_amr(row["amr"]),
        auth_time=row["auth_time"],
        created_at=row["created_at"],
        rotated_at=row["rotated_at"],
        last_active_at=row["last_active_at"],
        idle_seconds=row["idle_seconds"],
        idle_expires_at=row["idle_expires_at"],
        absolute_expires_at=row["absolute_expires_at"],
        audiences=tuple(row["audiences"]),
        scopes=tuple(row["scopes"]),
        roles=tuple(row["roles"]),
        device=Device(row["device_id"], row["device_name"], row["user_agent"], row["ip_address"]),
        confirmation=row["confirmation"] or b"",
        revoked_at=row["revoked_at"],
        revoked_reason=None if reason is None else RevocationReason(reason),
        parent_session_id=row["parent_session_id"],
        pairing_id=row["pairing_id"],
        exchange_fingerprint=row["exchange_fingerprint"],
    )


GENERATION_COLUMNS = (
    "lookup_id",
    "session_id",
    "kind",
    "user_id",
    "acr",
    "amr",
    "auth_time",
    "idle_expires_at",
    "absolute_expires_at",
    "audiences",
    "scopes",
    "roles",
    "device_id",
    "confirmation",
)
"""What `generation_from_values` reads."""


def generation_from_values(
    values: Sequence[Any], client_id: str, generation: int, mint_kid: str, rotated_at: datetime
) -> Generation:
    """A generation of the values of GENERATION_COLUMNS; the rest is known to whoever made it."""
    (
        lookup_id,
        session_id,
        kind,
        user_id,
        acr,
        amr,
        auth_time,
        idle_expires_at,
        absolute_expires_at,
        audiences,
        scopes,
        roles,
        device_id,
        confirmation,
    ) = values
    return Generation(
        session_id=session_id,
        lookup_id=lookup_id,
        kind=_KINDS[kind],
        client_id=client_id,
        user_id=user_id,
        generation=generation,
        mint_kid=mint_kid,
        acr=acr,
        amr=_amr(amr),
        auth_time=auth_time,
        rotated_at=rotated_at,
        idle_expires_at=idle_expires_at,
        absolute_expires_at=absolute_expires_at,
        audiences=tuple(audiences),
        scopes=tuple(scopes),
        roles=tuple(roles),
        device_id=device_id,
        confirmation=confirmation or b"",
    )


VIEW_COLUMNS = f"""
    {SESSION_COLUMNS},
    c.state AS client_state, c.valid_rev AS client_valid_rev, c.policy::text AS policy,
    h.valid_rev AS global_valid_rev, h.config_version, h.revision AS head_revision,
    COALESCE(k.state = {KeyState.COMPROMISED}, true) AS mint_compromised,
    s.user_id IS NOT NULL AND u.user_id IS NULL AS user_gone,
    u.disabled_at IS NOT NULL AS user_disabled,
    GREATEST(u.valid_rev, d.valid_rev, CASE WHEN s.user_id IS NULL THEN c.own_valid_rev END, 0)
        AS subject_valid_rev,
    COALESCE(u.version, 0) AS user_version,
    COALESCE(u.roles, '{{}}') AS user_roles,
    ARRAY(SELECT DISTINCT scope FROM roles r, unnest(r.scopes) AS scope
          WHERE r.role = ANY (u.roles)) AS user_scopes
"""  # noqa: S608 - constants
"""What `view_from_row` reads, for a query that joins with VIEW_JOINS."""

VIEW_JOINS = f"""
    {JOIN_HEAD}
    LEFT JOIN clients c ON c.client_id = s.client_id
    LEFT JOIN users u ON u.user_id = s.user_id
    LEFT JOIN revoked_devices d
        ON d.subject = COALESCE(s.user_id::text, s.client_id) AND d.device_id = s.device_id
    LEFT JOIN keys k ON k.kid = s.mint_kid
"""
"""All that decides over a session besides its own row. A mint key without a row cannot have
made a good token, so it counts as compromised."""


def view_from_row(row: Record) -> SessionView:
    """A session's view of a row with VIEW_COLUMNS. Raises STORE_UNAVAILABLE where the trust
    head is missing, or the client, which outlives its sessions."""
    if row["client_state"] is None:
        raise missing("the row of a session's client")
    session = session_from_row(row)
    scopes: frozenset[str] = frozenset(row["user_scopes"])
    return SessionView(
        session=session,
        client_state=ClientState(row["client_state"]),
        client_valid_rev=row["client_valid_rev"],
        policy=policy_from_text(row["policy"]),
        global_valid_rev=of_head(row["global_valid_rev"]),
        config_version=row["config_version"],
        head_revision=row["head_revision"],
        mint_compromised=row["mint_compromised"],
        user_gone=row["user_gone"],
        user_disabled=row["user_disabled"],
        user_valid_rev=row["subject_valid_rev"],
        user_version=row["user_version"],
        user_roles=tuple(row["user_roles"]),
        user_scopes=None if session.user_id is None else scopes,
    )
