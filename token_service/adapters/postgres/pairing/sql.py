"""The statements of the pairing store. What changes a pairing wakes its watchers on all nodes."""

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.fencing import is_current
from token_service.adapters.postgres.removal import MINE, removal_of
from token_service.adapters.postgres.sessions.live import LIVE_FROM, live
from token_service.adapters.postgres.sessions.rows import (
    NEW_COLUMNS,
    NEW_COUNT,
    NEW_VALUES,
    PLACE,
    VIEW_COLUMNS,
    VIEW_JOINS,
)
from token_service.domain.kinds import ClientState, PairingState

CHANNEL = "pairing"
"""What is notified with the id of a pairing that moved."""

_COLUMNS = (
    "pairing_id",
    "direction",
    "state",
    "direct",
    "wrong_numbers",
    "end_reason",
    "approver_acr",
    "approver_amr",
    "approver_auth_time",
    "approver_session",
    "child_session",
    "started_at",
    "scanned_at",
    "ends_at",
    "client_id",
    "starter_client",
    "scanner_client",
    "pepper_id",
    "watch_hash",
    "scan_hash",
    "audiences",
    "scopes",
    "starter",
    "scanner",
)
_COUNT = len(_COLUMNS)
COLUMNS = ", ".join(f"p.{name}" for name in _COLUMNS)
_VALUES = ", ".join(f"${place}" for place in range(1, _COUNT + 1))

GET = f"SELECT {COLUMNS} FROM pairings p WHERE p.pairing_id = $1"  # noqa: S608 - constants

FIND_BY_CODE = f"""
SELECT {COLUMNS} FROM pairing_codes c JOIN pairings p ON p.pairing_id = c.pairing_id
WHERE c.code_hash = ANY ($1::bytea[]) AND c.dies_at > $2
"""  # noqa: S608

INSERT = f"""
WITH inserted AS (
    INSERT INTO pairings ({", ".join(_COLUMNS)}) VALUES ({_VALUES})
    ON CONFLICT (pairing_id) DO NOTHING
    RETURNING pairing_id
), codes AS (
    INSERT INTO pairing_codes (code_hash, pairing_id, dies_at)
    SELECT c.code_hash, inserted.pairing_id, c.dies_at
    FROM inserted, unnest(${_COUNT + 1}::bytea[], ${_COUNT + 2}::timestamptz[])
         AS c (code_hash, dies_at)
), audited AS ({audit_log.insert_from("inserted", _COUNT + 3)})
SELECT pg_notify('{CHANNEL}', pairing_id::text) FROM inserted
"""  # noqa: S608

# A live state is left before its end or not at all; COMPLETED, which has no end, is left when a
# second scan turns up late.
_TO_MOVE = f"""
    FROM pairings p
    WHERE pairing_id = $1::uuid AND state = $2::smallint AND wrong_numbers = $3::smallint
      AND (ends_at > $7::timestamptz OR state = {PairingState.COMPLETED})"""
MOVE = f"""
WITH held AS MATERIALIZED (
    SELECT pairing_id {_TO_MOVE} FOR NO KEY UPDATE SKIP LOCKED
), moved AS (
    UPDATE pairings p
    SET state = $4::smallint, wrong_numbers = $5::smallint, ends_at = $6::timestamptz,
        approver_auth_time = COALESCE($8::timestamptz, approver_auth_time),
        approver_acr = COALESCE($9::smallint, approver_acr),
        approver_amr = COALESCE($10::smallint, approver_amr),
        end_reason = $11::smallint
    FROM held WHERE p.pairing_id = held.pairing_id
    RETURNING p.pairing_id
), audited AS ({audit_log.insert_from("moved", 12)})
SELECT EXISTS (SELECT FROM moved) AS moved,
       (SELECT pg_notify('{CHANNEL}', pairing_id::text) FROM moved),
       NOT EXISTS (SELECT FROM held) AND EXISTS (SELECT {_TO_MOVE}) AS locked
"""  # noqa: S608

_TO_COMPLETE = f"""
    FROM pairings p
    WHERE p.pairing_id = {PLACE["pairing_id"]} AND p.state = {PairingState.APPROVED}
      AND p.ends_at > {PLACE["created_at"]}"""

# Whoever revokes holds the trust head when it commits. While a share of it is held, nothing is
# revoked: this statement sees all that was, and who comes after sees the new session.
COLLECT = f"""
WITH held AS MATERIALIZED (
    SELECT p.pairing_id {_TO_COMPLETE} FOR NO KEY UPDATE SKIP LOCKED
), allowed AS (
    SELECT h.revision
    FROM sessions s, {LIVE_FROM}, clients own
    LEFT JOIN attempts a ON a.bucket = ${NEW_COUNT + 3}::bytea
    WHERE s.session_id = {PLACE["parent_session_id"]} AND s.user_id = {PLACE["user_id"]}
      AND {live(PLACE["created_at"], of_user=f"u.version = ${NEW_COUNT + 2}::bigint")}
      AND {is_current(f"${NEW_COUNT + 4}")}
      AND h.config_version = ${NEW_COUNT + 1}::bigint
      AND own.client_id = {PLACE["client_id"]} AND own.state = {ClientState.ACTIVE}
      AND (a.locked_until IS NULL OR a.locked_until <= {PLACE["created_at"]})
), completed AS (
    UPDATE pairings p
    SET state = {PairingState.COMPLETED}, child_session = {PLACE["session_id"]},
        ends_at = {PLACE["created_at"]}
    FROM allowed, held WHERE p.pairing_id = held.pairing_id
    RETURNING allowed.revision
), inserted AS (
    INSERT INTO sessions ({NEW_COLUMNS}, rev)
    SELECT {NEW_VALUES}, completed.revision FROM completed
    RETURNING rev, pairing_id
), audited AS ({audit_log.insert_from("inserted", NEW_COUNT + 5)}), told AS (
    SELECT rev, pg_notify('{CHANNEL}', pairing_id::text) FROM inserted
)
SELECT {is_current(f"${NEW_COUNT + 4}")} AS current, told.*,
       NOT EXISTS (SELECT FROM held) AND EXISTS (SELECT {_TO_COMPLETE}) AS locked
FROM trust_head h LEFT JOIN told ON true
"""  # noqa: S608

VIEW_OF_APPROVER = f"""
SELECT {VIEW_COLUMNS}, u.username FROM sessions s {VIEW_JOINS} WHERE s.session_id = $1
"""  # noqa: S608

VIEW_OF_CHILD = f"""
SELECT {VIEW_COLUMNS} FROM sessions s {VIEW_JOINS} WHERE s.pairing_id = $1
"""  # noqa: S608

IS_LOCKED = "SELECT FROM attempts WHERE bucket = $1 AND locked_until > $2"

# What nobody ended in time ends with a word; a `Removal` as to how it is driven.
EXPIRE = f"""
WITH {MINE}, over AS MATERIALIZED (
    SELECT pairing_id, ends_at FROM pairings
    WHERE state IN ({PairingState.SCANNED}, {PairingState.APPROVED})
      AND ends_at BETWEEN $3 AND $1::timestamptz AND (SELECT it FROM mine)
    ORDER BY ends_at LIMIT $2 FOR UPDATE SKIP LOCKED
), expired AS (
    UPDATE pairings p SET state = {PairingState.EXPIRED}
    FROM over WHERE p.pairing_id = over.pairing_id
    RETURNING p.pairing_id
), audited AS (
    INSERT INTO audit_log ({audit_log.AUDIT_COLUMNS})
    SELECT $1::timestamptz, 'sweep', 'pairing.expire', pairing_id::text, '', 'ok', '', '', ''
    FROM expired
)
SELECT (SELECT it FROM mine) AS mine, (SELECT count(*) FROM over) AS seen,
       (SELECT count(*) FROM expired) AS removed, (SELECT max(ends_at) FROM over) AS reached
"""  # noqa: S608

REMOVE_CODES = removal_of("pairing_codes", "dies_at")
REMOVE = removal_of("pairings", "ends_at")
