"""The statements of the session store."""

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.fencing import is_current
from token_service.adapters.postgres.removal import removal_of
from token_service.adapters.postgres.sessions.live import LIVE_FROM, live, live_row
from token_service.adapters.postgres.sessions.rows import (
    GENERATION_COLUMNS,
    NEW_COLUMNS,
    NEW_COUNT,
    NEW_VALUES,
    PLACE,
    SESSION_COLUMNS,
    VIEW_COLUMNS,
    VIEW_JOINS,
)
from token_service.domain.kinds import ClientState

# The checks, the trust head that gives the new row its `rev`, and the insert share one snapshot:
# a revocation that committed before it refuses, one that commits after it has a higher revision
# and kills what was just made.
INSERT = f"""
WITH allowed AS (
    SELECT h.revision
    FROM trust_head h
    JOIN clients c ON c.client_id = {PLACE["client_id"]}
    LEFT JOIN users u ON u.user_id = {PLACE["user_id"]}
    LEFT JOIN attempts a ON a.bucket = ${NEW_COUNT + 4}::bytea
    WHERE {is_current(f"${NEW_COUNT + 5}")}
      AND h.config_version = ${NEW_COUNT + 1}::bigint
      AND c.state = {ClientState.ACTIVE}
      AND ({PLACE["user_id"]} IS NULL
           OR (u.disabled_at IS NULL
               AND u.version = ${NEW_COUNT + 2}::bigint
               AND u.credential_version = ${NEW_COUNT + 3}::integer))
      AND (a.locked_until IS NULL OR a.locked_until <= {PLACE["created_at"]})
), inserted AS (
    INSERT INTO sessions ({NEW_COLUMNS}, rev)
    SELECT {NEW_VALUES}, allowed.revision FROM allowed
    RETURNING rev
), audited AS ({audit_log.insert_from("inserted", NEW_COUNT + 6)})
SELECT {is_current(f"${NEW_COUNT + 5}")} AS current, inserted.rev
FROM trust_head h LEFT JOIN inserted ON true
"""  # noqa: S608 - fragments are constants

VIEW = f"""
SELECT {VIEW_COLUMNS} FROM sessions s {VIEW_JOINS} WHERE s.lookup_id = $1
"""  # noqa: S608

# Only the session's row is locked, and never waited for: a row that stays locked must not keep a
# connection. The row is checked as it is once it is locked, the others as they were in the
# snapshot: what revoked them meanwhile has a higher revision than the one returned, and every
# later exchange checks the session's own `rev` again.
ADVANCE = f"""
WITH found AS (
    SELECT session_id FROM sessions WHERE session_id = $1::uuid FOR NO KEY UPDATE SKIP LOCKED
), advanced AS (
    UPDATE sessions s
    SET generation = s.generation + 1,
        mint_kid = $3::text,
        exchange_hash = $4::bytea,
        exchange_fingerprint = $5::bytea,
        rotated_at = $6::timestamptz,
        last_active_at = GREATEST(s.last_active_at, $6::timestamptz),
        idle_seconds = $7::integer,
        idle_expires_at = LEAST(s.absolute_expires_at, $8::timestamptz),
        roles = $9::text[],
        auth_time = COALESCE($12::timestamptz, s.auth_time),
        acr = COALESCE($13::smallint, s.acr),
        amr = COALESCE($14::smallint, s.amr)
    FROM found, {LIVE_FROM}
    WHERE s.session_id = found.session_id
      AND s.generation = $2::integer
      AND {is_current("$15")}
      AND h.config_version = $10::bigint
      AND {live("$6::timestamptz", of_user="u.version = $11::bigint")}
    RETURNING h.revision
), audited AS ({audit_log.insert_from("advanced", 16)})
SELECT (SELECT {is_current("$15")} FROM trust_head h) AS current,
       (SELECT revision FROM advanced) AS revision,
       NOT EXISTS (SELECT FROM found)
       AND EXISTS (SELECT FROM sessions WHERE session_id = $1::uuid) AS locked
"""  # noqa: S608

# The common case of an exchange in one round trip, for many sessions of one client at a time. It
# asks for more than `ADVANCE`: that the token is the current one of this client, and that neither
# policy nor roles took anything away since the login. Where it does not apply, `decide_exchange`
# decides on what `VIEW` reads; so it does where somebody else holds the row, for which the others
# do not wait.
_SAME_ROLES = """s.roles = u.roles
                AND s.scopes <@ ARRAY(
                    SELECT scope FROM roles r, unnest(r.scopes) AS scope
                    WHERE r.role = ANY (u.roles))"""
ADVANCE_PLAINLY = f"""
WITH found AS (
    SELECT session_id FROM sessions WHERE lookup_id = ANY ($1::uuid[])
    FOR NO KEY UPDATE SKIP LOCKED
), advanced AS (
    UPDATE sessions s
    SET generation = s.generation + 1,
        mint_kid = $15::text,
        exchange_hash = asked.exchange_hash,
        exchange_fingerprint = asked.exchange_fingerprint,
        rotated_at = $16::timestamptz,
        last_active_at = GREATEST(s.last_active_at, $16::timestamptz),
        idle_expires_at = LEAST(
            s.absolute_expires_at, $16::timestamptz + make_interval(secs => s.idle_seconds))
    FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::bytea[], $5::bytea[], $6::text[],
                $7::text[])
             AS asked (lookup_id, generation, mint_kid, exchange_hash, exchange_fingerprint,
                       request_id, address),
         found, {LIVE_FROM}
    WHERE s.lookup_id = asked.lookup_id
      AND s.session_id = found.session_id
      AND s.generation = asked.generation
      AND s.mint_kid = asked.mint_kid
      AND s.client_id = $8::text
      AND (s.confirmation IS NULL OR s.confirmation = $9::bytea)
      AND s.audiences @> $10::text[] AND s.scopes @> $11::text[]
      AND s.audiences <@ $12::text[] AND s.scopes <@ $13::text[]
      AND s.idle_seconds = ($14::integer[])[s.platform]
      AND {is_current("$21")}
      AND h.config_version = $17::bigint
      AND {live("$16::timestamptz", of_user=_SAME_ROLES)}
    RETURNING {", ".join(f"s.{name}" for name in GENERATION_COLUMNS)}, s.client_id, s.generation,
              h.revision, asked.request_id, asked.address
), audited AS (
    INSERT INTO audit_log ({audit_log.AUDIT_COLUMNS})
    SELECT $16::timestamptz, $18::text, $19::text, session_id::text,
           COALESCE(user_id::text, client_id), $20::text, request_id, address,
           'generation=' || generation
    FROM advanced
)
SELECT {", ".join(GENERATION_COLUMNS)}, revision FROM advanced
"""  # noqa: S608

GET = f"SELECT {SESSION_COLUMNS} FROM sessions s WHERE s.session_id = $1"  # noqa: S608

GET_MANY = f"""
SELECT {SESSION_COLUMNS} FROM sessions s WHERE s.session_id = ANY ($1::uuid[])
"""  # noqa: S608

PAGE = f"""
SELECT {SESSION_COLUMNS} FROM sessions s, {LIVE_FROM}
WHERE (s.user_id = $1::uuid OR (s.user_id IS NULL AND s.client_id = $2::text))
  AND ($3::text IS NULL OR s.client_id = $3)
  AND (s.created_at, s.session_id) < ($4::timestamptz, $5::uuid)
  AND {live("$6::timestamptz")}
ORDER BY s.created_at DESC, s.session_id DESC
LIMIT $7
"""  # noqa: S608

# Rows that are locked just now are being exchanged or revoked, which needs no help from here;
# skipping them means that this never waits and never takes part in a deadlock.
ACTIVITY = f"""
WITH seen AS (
    SELECT session_id, LEAST(max(at), $3::timestamptz) AS at
    FROM unnest($1::uuid[], $2::timestamptz[]) AS reported (session_id, at)
    GROUP BY session_id
), live AS MATERIALIZED (
    SELECT s.session_id, s.idle_seconds, s.last_active_at, seen.at
    FROM seen, sessions s, {LIVE_FROM}
    WHERE s.session_id = seen.session_id AND {live("$3::timestamptz")}
      AND ($4::text[] IS NULL OR s.audiences && $4::text[])
), later AS (
    SELECT s.session_id, live.at
    FROM live JOIN sessions s ON s.session_id = live.session_id
    WHERE live.at > live.last_active_at
      AND {live_row("$3::timestamptz")}
    ORDER BY s.session_id
    FOR NO KEY UPDATE OF s SKIP LOCKED
), changed AS (
    UPDATE sessions s
    SET last_active_at = GREATEST(s.last_active_at, later.at),
        idle_expires_at = LEAST(s.absolute_expires_at, GREATEST(
            s.idle_expires_at, later.at + make_interval(secs => s.idle_seconds)))
    FROM later WHERE s.session_id = later.session_id
    RETURNING s.session_id
)
SELECT live.session_id, live.idle_seconds, changed.session_id IS NOT NULL AS changed
FROM live LEFT JOIN changed ON changed.session_id = live.session_id
"""  # noqa: S608

# A row outlives those that it let in: a revocation finds them through it.
REMOVE = removal_of(
    "sessions",
    "absolute_expires_at",
    key="session_id",
    unless="""SELECT parent_session_id FROM sessions
        WHERE parent_session_id = ANY (ARRAY(SELECT key FROM seen))""",
)

_UUID = "^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"
# A device's row is needed while a session exists that it kills. Inserts still in flight when it
# was written are over long before the grace period is. A sample keeps the cost of one sweep
# bounded; in time each row is in one.
FORGET_DEVICES = f"""
WITH sample AS (
    SELECT subject, device_id, valid_rev,
           CASE WHEN subject ~ '{_UUID}' THEN subject::uuid END AS user_id
    FROM revoked_devices WHERE revoked_at < $1 ORDER BY random() LIMIT $2
)
DELETE FROM revoked_devices d USING sample
WHERE d.subject = sample.subject AND d.device_id = sample.device_id
  AND d.valid_rev = sample.valid_rev
  AND NOT EXISTS (
      SELECT FROM sessions s
      WHERE s.user_id = sample.user_id
        AND s.device_id = sample.device_id AND s.rev < sample.valid_rev)
  AND NOT EXISTS (
      SELECT FROM sessions s
      WHERE s.user_id IS NULL AND s.client_id = sample.subject
        AND s.device_id = sample.device_id AND s.rev < sample.valid_rev)
"""  # noqa: S608
