"""What a batch of revocations does to the database, in one statement that commits by itself.

No other statement and no round trip lies between the lock of the trust head and the commit that
lets go of it: a node that stops at the wrong moment holds up nobody's revocation.
"""

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.fencing import is_current
from token_service.adapters.postgres.replication import WAITING_RECORD
from token_service.adapters.postgres.sessions.live import LIVE_FROM, live, live_row
from token_service.adapters.postgres.trust import cascade_sql
from token_service.adapters.postgres.trust.log import NOTIFIED, appending
from token_service.domain.kinds import KeyState, TrustEffect, TrustEntryKind

MOST_COUNTED = 10_000
MOST_LOOKED_AT = 200_000
"""Sessions of one subject, for the count: a revocation must not fail because they are many."""


def _revokes(kind: TrustEntryKind, of: str = "") -> str:
    return f"({of}effect = {TrustEffect.REVOKE} AND {of}kind = {kind})"


_SESSION = _revokes(TrustEntryKind.SESSION)
_SESSION_OF_ENTRY = _revokes(TrustEntryKind.SESSION, "e.")
_SUBJECT = _revokes(TrustEntryKind.SUBJECT)
_DEVICE = _revokes(TrustEntryKind.SUBJECT_DEVICE)
_CLIENT = _revokes(TrustEntryKind.CLIENT)
_KEY = _revokes(TrustEntryKind.KEY)

# Rows that somebody else holds are skipped, and with them what is asked of them: the others do not
# wait. Each row is as it is once it is locked.
_HELD = f"""
asked AS MATERIALIZED (
    SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::smallint[], $5::smallint[],
                         $6::uuid[], $7::uuid[], $8::uuid[]) WITH ORDINALITY
         AS asked (kind, id, device_id, effect, reason, identity, spared, cascade_id, asked)
), held_users AS MATERIALIZED (
    SELECT user_id FROM users
    WHERE user_id = ANY (ARRAY(SELECT identity FROM asked WHERE {_SUBJECT}))
    FOR NO KEY UPDATE SKIP LOCKED
), held_clients AS MATERIALIZED (
    SELECT client_id FROM clients
    WHERE client_id = ANY (ARRAY(SELECT id FROM asked WHERE {_SUBJECT} OR {_CLIENT}))
    FOR NO KEY UPDATE SKIP LOCKED
), held_devices AS MATERIALIZED (
    SELECT d.subject, d.device_id
    FROM (SELECT DISTINCT id, device_id FROM asked WHERE {_DEVICE}) a
    JOIN revoked_devices d ON d.subject = a.id AND d.device_id = a.device_id
    FOR NO KEY UPDATE OF d SKIP LOCKED
), held_keys AS MATERIALIZED (
    SELECT kid FROM keys
    WHERE kid = ANY (ARRAY(SELECT id FROM asked WHERE {_KEY}))
      AND state <> {KeyState.COMPROMISED}
    FOR NO KEY UPDATE SKIP LOCKED
), held_sessions AS MATERIALIZED (
    SELECT session_id FROM sessions
    WHERE session_id = ANY (ARRAY(SELECT identity FROM asked WHERE {_SESSION}))
      AND revoked_at IS NULL
    FOR NO KEY UPDATE SKIP LOCKED
)"""  # noqa: S608 - constants, here and below

_IS_CLIENT_LOCKED = """(
        EXISTS (SELECT FROM clients c WHERE c.client_id = a.id)
        AND a.id NOT IN (SELECT client_id FROM held_clients))"""
_IS_LOCKED = f"""CASE
        WHEN {_SESSION} THEN
            EXISTS (SELECT FROM sessions s
                    WHERE s.session_id = a.identity AND s.revoked_at IS NULL)
            AND a.identity NOT IN (SELECT session_id FROM held_sessions)
        WHEN {_SUBJECT} THEN
            EXISTS (SELECT FROM users u WHERE u.user_id = a.identity)
            AND a.identity NOT IN (SELECT user_id FROM held_users)
            OR {_IS_CLIENT_LOCKED}
        WHEN {_CLIENT} THEN {_IS_CLIENT_LOCKED}
        WHEN {_DEVICE} THEN
            EXISTS (SELECT FROM revoked_devices d
                    WHERE d.subject = a.id AND d.device_id = a.device_id)
            AND (a.id, a.device_id) NOT IN (SELECT subject, device_id FROM held_devices)
        WHEN {_KEY} THEN
            EXISTS (SELECT FROM keys k WHERE k.kid = a.id AND k.state <> {KeyState.COMPROMISED})
            AND a.id NOT IN (SELECT kid FROM held_keys)
        ELSE false
    END"""  # noqa: S608
# A session or key is revoked once; what is asked about others is on record each time. A session
# without a row had one that was removed or lost, and its access tokens may live on.
_CHANGES = f"""CASE
        WHEN {_SESSION} THEN identity IN (SELECT session_id FROM held_sessions)
            OR NOT EXISTS (SELECT FROM sessions s WHERE s.session_id = identity)
                AND identity IS NOT NULL
        WHEN {_KEY} THEN id IN (SELECT kid FROM held_keys)
        ELSE true
    END"""  # noqa: S608

_COUNT_LIVE = f"""
    SELECT w.asked, count(*) AS sessions
    FROM (SELECT a.*, GREATEST(
              h.valid_rev,
              (SELECT valid_rev FROM users u WHERE u.user_id = a.identity),
              (SELECT GREATEST(valid_rev, own_valid_rev) FROM clients c
               WHERE c.client_id = a.id AND a.identity IS NULL)) AS valid_rev
          FROM changing a, trust_head h WHERE {_SUBJECT} OR {_DEVICE}) w
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT * FROM sessions WHERE user_id = w.identity
            UNION ALL
            SELECT * FROM sessions WHERE user_id IS NULL AND client_id = w.id
            LIMIT {MOST_LOOKED_AT}
        ) s
        WHERE {live_row("$9::timestamptz")}
          AND w.device_id IN ('', s.device_id) AND s.rev >= w.valid_rev
        LIMIT {MOST_COUNTED}
    ) s, {LIVE_FROM}
    WHERE {live("$9::timestamptz")}
    GROUP BY w.asked
    UNION ALL
    SELECT changing.asked, 1
    FROM changing JOIN live_sessions ON live_sessions.session_id = changing.identity
    WHERE {_SESSION}"""  # noqa: S608

_EVENTS = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(audit_log.AUDIT_TYPES, 11))

# Sessions are counted before the head is locked.
_APPENDED = appending(
    "changing",
    now="$9",
    keys="LEAST(1, e.keys)",
    when="e.n > 0 AND (SELECT count(*) FROM counted) >= 0",
)

REVOKE = f"""
WITH {_HELD}, judged AS MATERIALIZED (
    SELECT a.*, {_IS_LOCKED} AS locked FROM asked a
), changing AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY asked) AS place
    FROM judged WHERE NOT locked AND {_CHANGES}
), live_sessions AS MATERIALIZED (
    SELECT s.session_id FROM sessions s, {LIVE_FROM}
    WHERE s.session_id = ANY (ARRAY(SELECT identity FROM asked WHERE {_SESSION}))
      AND {live("$9::timestamptz")}
), counted AS MATERIALIZED ({_COUNT_LIVE}
), {_APPENDED}, lifted_users AS (
    UPDATE users u SET valid_rev = GREATEST(u.valid_rev, r.rev)
    FROM (SELECT identity, max(rev) AS rev FROM numbered WHERE {_SUBJECT} GROUP BY identity) r
    WHERE u.user_id = r.identity
), lifted_clients AS (
    UPDATE clients c SET valid_rev = GREATEST(c.valid_rev, r.every),
                         own_valid_rev = GREATEST(c.own_valid_rev, r.own)
    FROM (SELECT id, max(rev) FILTER (WHERE {_CLIENT}) AS every,
                 max(rev) FILTER (WHERE {_SUBJECT}) AS own
          FROM numbered WHERE {_SUBJECT} OR {_CLIENT} GROUP BY id) r
    WHERE c.client_id = r.id
), lifted_devices AS (
    INSERT INTO revoked_devices (subject, device_id, valid_rev, revoked_at)
    SELECT id, device_id, max(rev), $9::timestamptz FROM numbered WHERE {_DEVICE}
    GROUP BY id, device_id
    ON CONFLICT (subject, device_id) DO UPDATE
    SET valid_rev = GREATEST(revoked_devices.valid_rev, EXCLUDED.valid_rev),
        revoked_at = EXCLUDED.revoked_at
), compromised AS (
    UPDATE keys k SET state = {KeyState.COMPROMISED}, compromised_at = $9::timestamptz
    FROM numbered WHERE {_KEY} AND k.kid = numbered.id
), revoked AS (
    UPDATE sessions s SET revoked_at = $9::timestamptz, revoked_reason = e.reason
    FROM numbered e WHERE {_SESSION_OF_ENTRY} AND s.session_id = e.identity
), events AS MATERIALIZED (
    SELECT * FROM unnest($10::integer[], {_EVENTS}) WITH ORDINALITY
         AS event (of, {audit_log.AUDIT_COLUMNS}, nth)
), audited AS (
    INSERT INTO audit_log ({audit_log.AUDIT_COLUMNS})
    SELECT {audit_log.AUDIT_COLUMNS} FROM events JOIN numbered ON numbered.asked = events.of
    ORDER BY nth
), begun AS (
    INSERT INTO cascades ({cascade_sql.COLUMNS}, worked_at)
    SELECT DISTINCT ON (cascade_id) cascade_id, kind, id, numbered.device_id, reason, rev, spared,
           actor, subject, outcome, request_id, address, $9::timestamptz
    FROM numbered JOIN events ON numbered.asked = events.of
    WHERE cascade_id IS NOT NULL ORDER BY cascade_id, nth
)
SELECT judged.locked, numbered.rev, COALESCE(counted.sessions, 0) AS sessions,
       changing.asked IS NOT NULL AS changes, (SELECT revision FROM head) AS head, {NOTIFIED}
FROM judged
     LEFT JOIN changing USING (asked)
     LEFT JOIN numbered USING (asked)
     LEFT JOIN counted USING (asked)
ORDER BY asked
"""  # noqa: S608

# After the commit, for the head was held while it was asked for and nobody is let in since: whose
# sessions have no children now gets none. Those of what was revoked before are begun anew: who
# asked then may not have seen the end. With $16 something was revoked before, and the record waits
# for the standby for that: until then a failover could still lose it. That is so where it is
# `current`: in the log in which it was found to be revoked.
SETTLE = f"""
WITH parents AS MATERIALIZED ({cascade_sql.PARENTS_AMONG}
), quickly AS MATERIALIZED (
    SELECT CASE WHEN $16::boolean THEN {WAITING_RECORD}::text
                ELSE set_config('synchronous_commit', 'off', true) END
), dropped AS (
    DELETE FROM cascades
    WHERE cascade_id = ANY ($2::uuid[]) AND (SELECT count(*) FROM quickly) > 0
      AND id NOT IN (SELECT session_id::text FROM parents)
    RETURNING cascade_id
), again AS (
    INSERT INTO cascades ({cascade_sql.COLUMNS}, worked_at)
    SELECT again.cascade_id, kind, id, device_id, reason, h.revision, spared,
           actor, subject, outcome, request_id, address, $15::timestamptz
    FROM trust_head h,
         unnest($3::uuid[], $4::smallint[], $5::text[], $6::text[], $7::smallint[], $8::uuid[],
                $9::boolean[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
             AS again (cascade_id, kind, id, device_id, reason, spared, always, actor, subject,
                       outcome, request_id, address)
    WHERE always OR id IN (SELECT session_id::text FROM parents)
    RETURNING cascade_id
)
SELECT (SELECT revision FROM trust_head) AS revision,
       (SELECT {is_current("$17")} FROM trust_head h) AS current,
       ARRAY(SELECT cascade_id FROM dropped) AS dropped,
       ARRAY(SELECT cascade_id FROM again) AS again,
       (SELECT count(*) FROM quickly)
"""  # noqa: S608
