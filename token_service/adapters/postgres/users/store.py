"""Users of our own store. What takes something away is in the trust log when it is committed."""

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.command_tags import count_of
from token_service.adapters.postgres.paging import start_of, token_after
from token_service.adapters.postgres.pool import Connection, retry_deadlock
from token_service.adapters.postgres.sessions.live import LIVE_FROM, live
from token_service.adapters.postgres.trust import log as trust
from token_service.adapters.postgres.trust_head import JOIN_HEAD, of_head, revision_of
from token_service.adapters.postgres.users.roles import RoleStore
from token_service.domain.audit import AuditEvent
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import RevocationReason, TrustEffect, TrustEntryKind
from token_service.domain.users.user import User

_COLUMNS = """
    u.user_id, u.username, u.password_hash, u.credential_version, u.roles, u.version,
    u.disabled_at, u.valid_rev, u.created_at, u.updated_at,
    ARRAY(SELECT DISTINCT scope FROM roles r, unnest(r.scopes) AS scope
          WHERE r.role = ANY (u.roles)) AS scopes
"""
_BY_USERNAME = f"""
SELECT {_COLUMNS}, h.config_version FROM users u {JOIN_HEAD} WHERE u.username = $1
"""  # noqa: S608 - constants, here and below
_GET = f"SELECT {_COLUMNS} FROM users u WHERE u.user_id = $1"  # noqa: S608
_PAGE = f"""
SELECT {_COLUMNS} FROM users u WHERE u.username > $1 ORDER BY u.username LIMIT $2
"""  # noqa: S608

_INSERT = f"""
WITH unknown AS (
    SELECT role FROM unnest($4::text[]) AS role WHERE role NOT IN (SELECT role FROM roles)
), inserted AS (
    INSERT INTO users (user_id, username, password_hash, roles, created_at, updated_at)
    SELECT $1::uuid, $2::text, $3::text, $4::text[], $5::timestamptz, $5::timestamptz
    WHERE NOT EXISTS (SELECT FROM unknown)
    ON CONFLICT DO NOTHING
    RETURNING user_id
), audited AS ({audit_log.insert_from("inserted", 6)})
SELECT EXISTS (SELECT FROM inserted) AS inserted, (SELECT min(role) FROM unknown) AS unknown
"""  # noqa: S608

_LOCK = "SELECT roles, disabled_at FROM users WHERE user_id = $1 FOR NO KEY UPDATE"
_LOCK_TO_DELETE = "SELECT FROM users WHERE user_id = $1 FOR UPDATE"
_LOCK_SESSION = """
SELECT FROM sessions WHERE session_id = $1 AND user_id = $2 FOR NO KEY UPDATE
"""
# The user's own `valid_rev` is still the one before: a session that was dead stays dead. The
# statement comes after the head's lock, so whatever has a lower revision is in its snapshot.
_KEEP_SESSION = f"""
UPDATE sessions SET rev = $3
WHERE session_id = (
    SELECT s.session_id FROM sessions s, {LIVE_FROM}
    WHERE s.session_id = $1 AND s.user_id = $2
      AND {live("$4::timestamptz")})
"""  # noqa: S608
_REPLACE_HASH = """
UPDATE users
SET password_hash = $2, credential_version = credential_version + 1, version = version + 1,
    valid_rev = $3, updated_at = $4
WHERE user_id = $1
"""
_REHASH = "UPDATE users SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2"
_DISABLE = """
UPDATE users SET disabled_at = $3, version = version + 1, valid_rev = $2, updated_at = $3
WHERE user_id = $1
"""
_ENABLE = """
UPDATE users SET disabled_at = NULL, version = version + 1, updated_at = $2 WHERE user_id = $1
"""
_DELETE = "DELETE FROM users WHERE user_id = $1"
_KNOWN_ROLES = "SELECT count(*) FROM roles WHERE role = ANY ($1::text[])"
_SET_ROLES = """
UPDATE users SET roles = $2, version = version + 1, updated_at = $3 WHERE user_id = $1
"""


class UserStore(RoleStore):
    """`domain.ports.UserStore` on PostgreSQL.

    Each change locks the user first, then a session, and the trust head last. A change
    to what is so already writes nothing and returns the head's revision.
    """

    async def by_username(self, username: str) -> tuple[User, int] | None:
        """By canonical name, with the configuration version, in one snapshot."""
        row = await self._database.fetchrow(_BY_USERNAME, username)
        return None if row is None else (_user(row), of_head(row["config_version"]))

    async def get(self, user_id: UUID) -> User | None:
        """By id."""
        row = await self._database.fetchrow(_GET, user_id)
        return None if row is None else _user(row)

    async def page(self, page_size: int, page_token: str) -> tuple[tuple[User, ...], str]:
        """Users by name, and the token of the next page. Raises FIELD_INVALID."""
        rows = await self._database.fetch(_PAGE, start_of(page_token), page_size + 1)
        users = tuple(_user(row) for row in rows[:page_size])
        more = len(rows) > page_size
        return users, token_after(users[-1].username) if more and users else ""

    async def insert(self, user: User, audit: AuditEvent) -> bool:
        """Add a user; False when the username is taken. Raises ROLE_NOT_FOUND."""
        row = await self._database.fetchrow(
            _INSERT,
            user.user_id,
            user.username,
            user.password_hash,
            sorted(set(user.roles)),
            user.created_at,
            *audit_log.args(audit),
        )
        if row is None or row["unknown"] is not None:
            raise _role_not_found()
        return bool(row["inserted"])

    async def set_password(
        self, user_id: UUID, password_hash: str, *, keep_session: UUID | None, audit: AuditEvent
    ) -> int | None:
        """Set the password and revoke every session but `keep_session`; the revision.

        None, and nothing is changed: no such user, or `keep_session` is not a live one of theirs.
        """

        async def change() -> int | None:
            async with self._database.transaction() as conn:
                if await conn.fetchrow(_LOCK, user_id) is None:
                    return None
                if keep_session is not None:
                    await conn.execute(_LOCK_SESSION, keep_session, user_id)
                await audit_log.write(conn, audit)
                revision = await _append(
                    conn, user_id, TrustEffect.REVOKE, RevocationReason.PASSWORD_CHANGED, audit
                )
                if keep_session is not None:
                    await _keep(conn, keep_session, user_id, revision, audit)
                await conn.execute(_REPLACE_HASH, user_id, password_hash, revision, audit.at)
                return revision

        try:
            return await retry_deadlock(change)
        except _SessionIsDead:
            return None

    async def rehash(self, user_id: UUID, old_hash: str, new_hash: str) -> None:
        """Store the same password under stronger parameters, unless it was changed meanwhile."""
        await self._database.execute(_REHASH, user_id, old_hash, new_hash)

    async def set_enabled(self, user_id: UUID, enabled: bool, audit: AuditEvent) -> int | None:
        """Disable (every session and access token dies) or enable; the revision. None: no such
        user."""

        async def change() -> int | None:
            async with self._database.transaction() as conn:
                row = await conn.fetchrow(_LOCK, user_id)
                if row is None:
                    return None
                if enabled is (row["disabled_at"] is None):
                    return await revision_of(conn)
                await audit_log.write(conn, audit)
                if enabled:
                    await conn.execute(_ENABLE, user_id, audit.at)
                    return await revision_of(conn)
                revision = await _append(
                    conn, user_id, TrustEffect.REVOKE, RevocationReason.USER_DISABLED, audit
                )
                await conn.execute(_DISABLE, user_id, revision, audit.at)
                return revision

        return await retry_deadlock(change)

    async def delete(self, user_id: UUID, audit: AuditEvent) -> int | None:
        """Delete the user; the sessions are dead without, and swept in time."""

        async def change() -> int | None:
            async with self._database.transaction() as conn:
                if await conn.fetchrow(_LOCK_TO_DELETE, user_id) is None:
                    return None
                await conn.execute(_DELETE, user_id)
                await audit_log.write(conn, audit)
                return await _append(
                    conn, user_id, TrustEffect.REVOKE, RevocationReason.USER_DISABLED, audit
                )

        return await retry_deadlock(change)

    async def set_roles(self, user_id: UUID, roles: Sequence[str], audit: AuditEvent) -> int | None:
        """Replace the roles; the revision. None: no such user. Raises ROLE_NOT_FOUND.

        Whoever loses a role gets new access tokens, even where other roles have all its scopes:
        they name the roles, and services may go by them.
        """
        wanted = sorted(set(roles))

        async def change() -> int | None:
            async with self._database.transaction() as conn:
                row = await conn.fetchrow(_LOCK, user_id)
                if row is None:
                    return None
                former = set(row["roles"])
                if former == set(wanted):
                    return await revision_of(conn)
                if await conn.fetchval(_KNOWN_ROLES, wanted) < len(wanted):
                    raise _role_not_found()
                await conn.execute(_SET_ROLES, user_id, wanted, audit.at)
                await audit_log.write(conn, audit)
                # With every role that stays, its scopes stay.
                if former <= set(wanted):
                    return await revision_of(conn)
                return await _append(
                    conn, user_id, TrustEffect.REISSUE, RevocationReason.POLICY_NARROWED, audit
                )

        return await retry_deadlock(change)


class _SessionIsDead(Exception):  # noqa: N818 - it only ends the transaction
    """A revocation came first: its revision is lower."""


async def _keep(
    conn: Connection, session_id: UUID, user_id: UUID, revision: int, audit: AuditEvent
) -> None:
    tag = await conn.execute(_KEEP_SESSION, session_id, user_id, revision, audit.at)
    if not count_of(tag):
        raise _SessionIsDead


async def _append(
    conn: Connection,
    user_id: UUID,
    effect: TrustEffect,
    reason: RevocationReason,
    audit: AuditEvent,
) -> int:
    entry = trust.NewEntry(TrustEntryKind.SUBJECT, str(user_id), "", effect, reason)
    return await trust.append(conn, [entry], now=audit.at)


def _role_not_found() -> TokenServiceError:
    return TokenServiceError(Reason.ROLE_NOT_FOUND, "no such role")


def _user(row: Record) -> User:
    return User(
        user_id=row["user_id"],
        username=row["username"],
        password_hash=row["password_hash"],
        credential_version=row["credential_version"],
        roles=tuple(row["roles"]),
        scopes=frozenset(row["scopes"]),
        version=row["version"],
        disabled_at=row["disabled_at"],
        valid_rev=row["valid_rev"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
