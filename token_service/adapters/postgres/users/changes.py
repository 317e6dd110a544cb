"""The statements that change a user, each with its audit row and entry in the trust log.

The user's row is locked first, if nobody else holds it, and the trust head last. Each tells in one
row `revision` (of the entry, null where there is none), whether the user is `known`, whether the
row was `held`, and whether it `changes` and `appends` something.
"""

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.sessions.live import LIVE_FROM, live
from token_service.adapters.postgres.trust.log import NOTIFIED, appending
from token_service.domain.kinds import RevocationReason, TrustEffect, TrustEntryKind


def _change(
    writes: str,
    *,
    audited_from: int,
    entry: tuple[TrustEffect, RevocationReason],
    when: str = "true",
    appends: str = "true",
    lock: str = "NO KEY UPDATE",
    first: str = "",
    tells: str = "",
) -> str:
    """A change of the user `$1` at `$2`, for whom `when` holds, with an entry where `appends` does;
    `writes` reads `granted`, of one row where the change takes place."""
    effect, reason = entry
    return f"""
WITH held AS MATERIALIZED (
    SELECT user_id, roles, disabled_at FROM users WHERE user_id = $1::uuid
    FOR {lock} SKIP LOCKED
){first}, changing AS MATERIALIZED (
    SELECT user_id, {appends} AS appends FROM held WHERE {when}
), entries AS MATERIALIZED (
    SELECT {TrustEntryKind.SUBJECT}::smallint AS kind, user_id::text AS id, '' AS device_id,
           {effect}::smallint AS effect, {reason}::smallint AS reason, 1::bigint AS place
    FROM changing WHERE appends
), {appending("entries", now="$2", when="e.n > 0")}, granted AS MATERIALIZED (
    SELECT user_id, (SELECT revision FROM head) AS revision FROM changing
    WHERE NOT appends OR EXISTS (SELECT FROM head)
), changed AS (
    {writes}
), audited AS ({audit_log.insert_from("granted", audited_from)})
SELECT (SELECT revision FROM head) AS revision, {NOTIFIED},
       EXISTS (SELECT FROM users WHERE user_id = $1::uuid) AS known,
       EXISTS (SELECT FROM held) AS held,
       EXISTS (SELECT FROM changing) AS changes,
       EXISTS (SELECT FROM entries) AS appends{tells}
"""  # noqa: S608 - constants, here and below


_DISABLED = (TrustEffect.REVOKE, RevocationReason.USER_DISABLED)
_PASSWORD = (TrustEffect.REVOKE, RevocationReason.PASSWORD_CHANGED)
_NARROWED = (TrustEffect.REISSUE, RevocationReason.POLICY_NARROWED)

DISABLE = _change(
    """UPDATE users u SET disabled_at = $2::timestamptz, version = u.version + 1,
           valid_rev = granted.revision, updated_at = $2::timestamptz
    FROM granted WHERE u.user_id = granted.user_id""",
    when="disabled_at IS NULL",
    entry=_DISABLED,
    audited_from=3,
)
ENABLE = _change(
    """UPDATE users u SET disabled_at = NULL, version = u.version + 1,
           updated_at = $2::timestamptz
    FROM granted WHERE u.user_id = granted.user_id""",
    when="disabled_at IS NOT NULL",
    appends="false",
    entry=_DISABLED,
    audited_from=3,
)
DELETE = _change(
    "DELETE FROM users u USING granted WHERE u.user_id = granted.user_id",
    lock="UPDATE",
    entry=_DISABLED,
    audited_from=3,
)
SET_PASSWORD = _change(
    """UPDATE users u
    SET password_hash = $3::text, credential_version = u.credential_version + 1,
        version = u.version + 1, valid_rev = granted.revision, updated_at = $2::timestamptz
    FROM granted WHERE u.user_id = granted.user_id""",
    entry=_PASSWORD,
    audited_from=4,
)

# With every role that stays, its scopes stay.
SET_ROLES = _change(
    """UPDATE users u SET roles = $3::text[], version = u.version + 1,
           updated_at = $2::timestamptz
    FROM granted WHERE u.user_id = granted.user_id""",
    first=""", unknown AS MATERIALIZED (
    SELECT FROM unnest($3::text[]) AS role WHERE role NOT IN (SELECT role FROM roles)
)""",
    when="""NOT (roles @> $3::text[] AND roles <@ $3::text[])
      AND NOT EXISTS (SELECT FROM unknown)""",
    appends="NOT roles <@ $3::text[]",
    entry=_NARROWED,
    audited_from=4,
    tells=""",
       EXISTS (SELECT FROM held WHERE NOT (roles @> $3::text[] AND roles <@ $3::text[]))
           AND EXISTS (SELECT FROM unknown) AS unknown""",
)

# With a session that stays it takes two: whether the session is live, the second asks once the head
# is locked, so that whatever has a lower revision is in its snapshot.
BEGIN_PASSWORD = _change(
    "SELECT",
    first=""", held_session AS MATERIALIZED (
    SELECT FROM sessions WHERE session_id = $3::uuid AND user_id = $1::uuid
    FOR NO KEY UPDATE SKIP LOCKED
)""",
    when="EXISTS (SELECT FROM held_session)",
    entry=_PASSWORD,
    audited_from=4,
    tells=""",
       EXISTS (SELECT FROM sessions WHERE session_id = $3::uuid AND user_id = $1::uuid)
           AS known_session""",
)
# The user's own `valid_rev` is still the one before: a session that was dead stays dead.
FINISH_PASSWORD = f"""
WITH kept AS (
    UPDATE sessions SET rev = $3
    WHERE session_id = (
        SELECT s.session_id FROM sessions s, {LIVE_FROM}
        WHERE s.session_id = $1 AND s.user_id = $2
          AND {live("$4::timestamptz")})
    RETURNING 1
), changed AS (
    UPDATE users
    SET password_hash = $5::text, credential_version = credential_version + 1,
        version = version + 1, valid_rev = $3, updated_at = $4::timestamptz
    WHERE user_id = $2 AND EXISTS (SELECT FROM kept)
)
SELECT EXISTS (SELECT FROM kept) AS kept
"""  # noqa: S608
