"""Roles: what each maps to. They are never deleted, so a name once known stays known."""

from collections.abc import Sequence

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.command_tags import count_of
from token_service.adapters.postgres.locked import RowLocked, until_free
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust import log as trust
from token_service.adapters.postgres.trust_head import revision_of
from token_service.domain.audit import AuditEvent
from token_service.domain.kinds import RevocationReason, TrustEffect, TrustEntryKind

_CREATE = "INSERT INTO roles (role, scopes) VALUES ($1, '{}') ON CONFLICT (role) DO NOTHING"
_LOCK = "SELECT scopes FROM roles WHERE role = $1 FOR NO KEY UPDATE SKIP LOCKED"
_SET = f"""
WITH changed AS (
    UPDATE roles SET scopes = $2 WHERE role = $1 RETURNING role
)
{audit_log.insert_from("changed", 3)}
"""  # noqa: S608 - constants
_ALL = "SELECT role, scopes FROM roles ORDER BY role"


class RoleStore:
    """The part of `domain.ports.UserStore` that is about roles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def define_role(self, role: str, scopes: Sequence[str], audit: AuditEvent) -> int:
        """Create or replace a role; the revision. When it loses a scope, every access token is
        reissued: who has the role is not looked up, for that may be anyone by then."""
        wanted = sorted(set(scopes))

        async def change() -> int:
            async with self._database.transaction() as conn:
                created = count_of(await conn.execute(_CREATE, role)) > 0
                found = await conn.fetchval(_LOCK, role)
                if found is None:
                    raise RowLocked
                former = set(found)
                if former == set(wanted) and not created:
                    return await revision_of(conn)
                await conn.execute(_SET, role, wanted, *audit_log.args(audit))
                entries = [] if former <= set(wanted) else [_REISSUE_EVERYTHING]
                return await trust.append(conn, entries, now=audit.at, bump_config=True)

        return await until_free(change, self._database)

    async def roles(self) -> dict[str, tuple[str, ...]]:
        """All roles and their scopes."""
        rows = await self._database.fetch(_ALL)
        return {row["role"]: tuple(row["scopes"]) for row in rows}


_REISSUE_EVERYTHING = trust.NewEntry(
    TrustEntryKind.EVERYTHING, "", "", TrustEffect.REISSUE, RevocationReason.POLICY_NARROWED
)
