"""Users of our own store. What takes something away is in the trust log when it is committed."""

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres import trust_head
from token_service.adapters.postgres.fencing import LogMovedError
from token_service.adapters.postgres.locked import RowLocked, until_free
from token_service.adapters.postgres.paging import start_of, token_after
from token_service.adapters.postgres.trust_head import JOIN_HEAD, of_head
from token_service.adapters.postgres.users import changes
from token_service.adapters.postgres.users.roles import RoleStore
from token_service.domain import durability
from token_service.domain.audit import AuditEvent
from token_service.domain.errors import Reason, TokenServiceError
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

# What is locked is changed just now, and then its hash is another one.
_REHASH = """
UPDATE users SET password_hash = $3
WHERE user_id = (SELECT user_id FROM users WHERE user_id = $1 FOR NO KEY UPDATE SKIP LOCKED)
  AND password_hash = $2
"""


class UserStore(RoleStore):
    """`domain.ports.UserStore` on PostgreSQL.

    A change to what is so already writes nothing and returns the head's revision. While somebody
    else holds the user's row, changes of that user wait, and no connection is kept meanwhile.
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
        if keep_session is None:
            args = (user_id, audit.at, password_hash, *audit_log.args(audit))
            return await self._change(changes.SET_PASSWORD, *args)

        async def change() -> int | None:
            async with self._database.transaction() as conn:
                row = _one(
                    await conn.fetchrow(
                        changes.BEGIN_PASSWORD,
                        user_id,
                        audit.at,
                        keep_session,
                        *audit_log.args(audit),
                    )
                )
                if not (row["known"] and row["known_session"]):
                    return None
                if not row["changes"]:
                    raise RowLocked
                revision = row["revision"]
                if revision is None:
                    raise LogMovedError
                finish = (keep_session, user_id, revision, audit.at, password_hash)
                if not await conn.fetchval(changes.FINISH_PASSWORD, *finish):
                    raise _SessionIsDead
                return int(revision)

        try:
            return await until_free(change, self._database)
        except _SessionIsDead:
            return None

    async def rehash(self, user_id: UUID, old_hash: str, new_hash: str) -> None:
        """Store the same password under stronger parameters, unless it was changed meanwhile."""
        await self._database.execute(_REHASH, user_id, old_hash, new_hash)

    async def set_enabled(self, user_id: UUID, enabled: bool, audit: AuditEvent) -> int | None:
        """Disable (every session and access token dies) or enable; the revision. None: no such
        user."""
        sql = changes.ENABLE if enabled else changes.DISABLE
        return await self._change(sql, user_id, audit.at, *audit_log.args(audit))

    async def delete(self, user_id: UUID, audit: AuditEvent) -> int | None:
        """Delete the user; the sessions are dead without, and swept in time."""
        return await self._change(changes.DELETE, user_id, audit.at, *audit_log.args(audit))

    async def set_roles(self, user_id: UUID, roles: Sequence[str], audit: AuditEvent) -> int | None:
        """Replace the roles; the revision. None: no such user. Raises ROLE_NOT_FOUND.

        Whoever loses a role gets new access tokens, even where other roles have all its scopes:
        they name the roles, and services may go by them.
        """
        args = (user_id, audit.at, sorted(set(roles)), *audit_log.args(audit))
        return await self._change(changes.SET_ROLES, *args)

    async def _change(self, sql: str, *args: object) -> int | None:
        """Run one of the statements for the user `args[0]`; the revision, None: no such user."""

        async def attempt() -> Record:
            row = _one(await self._database.change(sql, *args))
            if row["known"] and not row["held"]:
                raise RowLocked
            if row["appends"] and row["revision"] is None:
                raise self._database.fencing.moved()
            return row

        row = await until_free(attempt, self._database)
        if row.get("unknown"):
            raise _role_not_found()
        if row["changes"]:
            durability.note_commit()
        if row["appends"]:
            return int(row["revision"])
        return await trust_head.latest(self._database) if row["known"] else None


class _SessionIsDead(Exception):  # noqa: N818 - it only ends the transaction
    """A revocation came first: its revision is lower."""


def _one(row: Record | None) -> Record:
    if row is None:
        raise LookupError("the statement gives one row")
    return row


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
