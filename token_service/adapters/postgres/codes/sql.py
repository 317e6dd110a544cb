"""The statements of the code store."""

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.removal import removal_of
from token_service.domain.codes.decision import MAX_ATTEMPTS
from token_service.domain.kinds import CodeKind

CODE_COLUMNS = (
    "code_id, client_id, kind, purpose, recipient, subject, max_uses, length, alphabet, payload,"
    " created_at, not_before, expires_at, code_hash, pepper_id, request_id, request_hash, uses,"
    " failures, failures_until, revoked_at, last_redeemed_at"
)
_NEW_COLUMNS = (
    "code_id, client_id, kind, purpose, recipient, subject, max_uses, length, alphabet, payload,"
    " created_at, not_before, expires_at, code_hash, pepper_id, request_id, request_hash"
)
_NEW_COUNT = 17

_REPLACED = f"""
    FROM codes
    WHERE $3::smallint = {CodeKind.VERIFICATION} AND kind = {CodeKind.VERIFICATION}
      AND client_id = $2::text AND purpose = $4::text AND recipient = $5::text
      AND code_hash IS NOT NULL"""
# The insert reads what the update returns, so the former code is out of the unique index by then.
INSERT = f"""
WITH held AS MATERIALIZED (
    SELECT code_id {_REPLACED} FOR UPDATE SKIP LOCKED
), locked AS MATERIALIZED (
    SELECT code_id {_REPLACED} AND code_id NOT IN (SELECT code_id FROM held)
), replaced AS (
    UPDATE codes SET code_hash = NULL, revoked_at = COALESCE(revoked_at, $11::timestamptz)
    FROM held WHERE codes.code_id = held.code_id AND NOT EXISTS (SELECT FROM locked)
    RETURNING failures, failures_until
), inserted AS (
    INSERT INTO codes ({_NEW_COLUMNS}, failures, failures_until)
    SELECT $1::uuid, $2::text, $3::smallint, $4::text, $5::text, $6::text, $7::integer,
           $8::smallint, $9::text, $10::bytea, $11::timestamptz, $12::timestamptz,
           $13::timestamptz, $14::bytea, $15::text, $16::text, $17::bytea,
           COALESCE(r.failures, 0), r.failures_until
    FROM (SELECT 1) AS one LEFT JOIN replaced r ON true
    WHERE NOT EXISTS (SELECT FROM locked)
    RETURNING code_id
), audited AS ({audit_log.insert_from("inserted", _NEW_COUNT + 1)})
SELECT EXISTS (SELECT FROM locked) AS locked
"""  # noqa: S608 - fragments are constants

BY_REQUEST = f"""
SELECT {CODE_COLUMNS} FROM codes WHERE client_id = $1 AND request_id = $2
"""  # noqa: S608

GET = f"""
SELECT {CODE_COLUMNS} FROM codes WHERE code_id = $1 AND client_id = $2
"""  # noqa: S608

_TO_REVOKE = """
    FROM codes WHERE code_id = $1::uuid AND client_id = $2::text AND revoked_at IS NULL"""
REVOKE = f"""
WITH held AS MATERIALIZED (
    SELECT code_id {_TO_REVOKE} FOR NO KEY UPDATE SKIP LOCKED
), revoked AS (
    UPDATE codes SET revoked_at = $3::timestamptz
    FROM held WHERE codes.code_id = held.code_id
    RETURNING codes.*
), audited AS ({audit_log.insert_from("revoked", 4)})
SELECT NOT EXISTS (SELECT FROM held) AND EXISTS (SELECT {_TO_REVOKE}) AS locked, revoked.*
FROM (SELECT 1) AS one LEFT JOIN revoked ON true
"""  # noqa: S608

# `domain.codes.decision.decide_redeem` on the row as it is once it is locked.
_RIGHT = """(
        c.code_hash = ANY ($1::bytea[]) AND c.recipient IN ('', $4::text)
        AND c.revoked_at IS NULL AND c.uses < c.max_uses
        AND c.not_before <= $5::timestamptz AND c.expires_at > $5::timestamptz)"""

_TRIABLE = f"""
    FROM target t JOIN codes c ON c.code_id = t.code_id, closed
    WHERE c.code_hash IS NOT NULL AND closed.until IS NULL AND NOT EXISTS (SELECT FROM past)
      AND CASE WHEN c.kind = {CodeKind.VERIFICATION}
               THEN c.failures < {MAX_ATTEMPTS} OR c.failures_until <= $5::timestamptz
               ELSE {_RIGHT} END"""

# One row is looked for and locked: the code, or else the verification code that it is a guess at.
# Its attempts are counted on it, so nobody can guess beside the count. Waiting racers see it as
# the one before them left it, and the request's own row settles who was first with one id.
REDEEM = f"""
WITH target AS MATERIALIZED (
    SELECT {CODE_COLUMNS} FROM (
        SELECT {CODE_COLUMNS}, 0 AS place FROM codes WHERE code_hash = ANY ($1::bytea[])
        UNION ALL
        SELECT {CODE_COLUMNS}, 1 FROM codes
        WHERE kind = {CodeKind.VERIFICATION} AND client_id = $2::text AND purpose = $3::text
          AND recipient = $4::text AND code_hash IS NOT NULL) AS candidates
    ORDER BY place LIMIT 1
), past AS MATERIALIZED (
    SELECT r.code_id, r.code_hash, r.recipient, r.redeemer, r.uses_left, o.purpose, o.payload
    FROM code_redemptions r JOIN codes o ON o.code_id = r.code_id
    WHERE r.client_id = $2::text AND r.request_id = $6::text
), closed AS MATERIALIZED (
    SELECT max(locked_until) AS until FROM attempts
    WHERE bucket = ANY ($8::bytea[]) AND locked_until > $5::timestamptz
), triable AS MATERIALIZED (
    SELECT c.code_id {_TRIABLE}
), held AS MATERIALIZED (
    SELECT c.code_id {_TRIABLE} FOR NO KEY UPDATE OF c SKIP LOCKED
), tried AS (
    UPDATE codes c
    SET hit = {_RIGHT},
        uses = c.uses + {_RIGHT}::integer,
        last_redeemed_at = CASE WHEN {_RIGHT} THEN $5::timestamptz ELSE c.last_redeemed_at END,
        failures = CASE WHEN {_RIGHT} THEN c.failures
                        WHEN c.failures_until > $5::timestamptz THEN c.failures + 1
                        ELSE 1 END,
        failures_until = CASE WHEN {_RIGHT} THEN c.failures_until
                              WHEN c.failures_until > $5::timestamptz
                                   AND c.failures + 1 < {MAX_ATTEMPTS} THEN c.failures_until
                              ELSE $9::timestamptz END
    FROM held WHERE c.code_id = held.code_id
    RETURNING c.code_id, c.hit, c.uses, c.max_uses, c.payload, c.purpose, c.code_hash, c.expires_at
), kept AS (
    INSERT INTO code_redemptions (client_id, request_id, code_id, uses_left, at, expires_at,
                                  code_hash, recipient, redeemer)
    SELECT $2::text, $6::text, code_id, max_uses - uses, $5::timestamptz, expires_at,
           code_hash, $4::text, $7::text
    FROM tried WHERE hit AND $6::text IS NOT NULL
), audited AS (
    INSERT INTO audit_log ({audit_log.AUDIT_COLUMNS})
    SELECT $5::timestamptz, $10::text, $11::text, code_id::text, $7::text, $12::text, $13::text,
           $14::text, 'purpose=' || purpose || ' uses=' || uses || ' of ' || max_uses
    FROM tried WHERE hit
)
SELECT NOT EXISTS (SELECT FROM held) AND EXISTS (SELECT FROM triable) AS locked,
       tried.hit, tried.code_id AS hit_id, tried.payload AS hit_payload,
       tried.max_uses - tried.uses AS hit_left,
       past.code_id AS past_id, past.code_hash AS past_hash, past.purpose AS past_purpose,
       past.recipient AS past_recipient, past.redeemer AS past_redeemer,
       past.uses_left AS past_left, past.payload AS past_payload,
       closed.until, target.*
FROM closed LEFT JOIN tried ON true
     LEFT JOIN past ON true
     LEFT JOIN target ON tried.code_id IS NULL
"""  # noqa: S608

REMOVE_REDEMPTIONS = removal_of("code_redemptions", "expires_at")

# While a code's redemptions are there, so is the code: their retries are answered with its payload.
REMOVE = removal_of(
    "codes",
    "expires_at",
    key="code_id",
    unless="SELECT code_id FROM code_redemptions WHERE expires_at <= $1",
)
