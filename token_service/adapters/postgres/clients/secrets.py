"""The secrets of clients: keyed hashes that come, are used, and end."""

from datetime import datetime

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.clients.rows import LOCK_CLIENT, is_former
from token_service.adapters.postgres.command_tags import count_of
from token_service.adapters.postgres.pool import Connection, Database, retry_deadlock
from token_service.adapters.postgres.trust import log as trust
from token_service.domain.audit import AuditEvent
from token_service.domain.clients.client import ClientSecret
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.kinds import ClientState

_KNOWN = """
SELECT EXISTS (SELECT FROM client_secrets
               WHERE client_id = $1 AND request_hash = $2 AND secret_hash = $3)
"""
_ANY_USED = """
SELECT EXISTS (SELECT FROM client_secrets WHERE client_id = $1 AND first_used_at IS NOT NULL)
"""
_DROP_ALL = "DELETE FROM client_secrets WHERE client_id = $1"
# Of the same request, but made under another pepper: a reply that nobody has used.
_DROP_OUTDATED = """
DELETE FROM client_secrets
WHERE client_id = $1
  AND (expires_at <= $2 OR (request_hash = $3 AND first_used_at IS NULL))
"""
_END_OTHERS = """
UPDATE client_secrets SET expires_at = LEAST(expires_at, $2::timestamptz) WHERE client_id = $1
"""
_INSERT = """
INSERT INTO client_secrets (client_id, secret_hash, pepper_id, request_hash, created_at,
                            expires_at, first_used_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_ACTIVATE = f"""
UPDATE clients SET state = {ClientState.ACTIVE}, updated_at = $2 WHERE client_id = $1
"""  # noqa: S608 - constants
_MARK_USED = """
UPDATE client_secrets SET first_used_at = $3
WHERE client_id = $1 AND secret_hash = $2 AND first_used_at IS NULL
"""
_SPEND_REGISTRATION = """
UPDATE clients
SET registration_spent = COALESCE(registration_hash, registration_spent), registration_hash = NULL
WHERE client_id = $1
"""
_REHASH = """
UPDATE client_secrets SET secret_hash = $3, pepper_id = $4
WHERE client_id = $1 AND secret_hash = $2
"""


class ClientSecretStore:
    """The part of `domain.ports.ClientStore` that is about secrets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_secret(
        self,
        client_id: str,
        secret: ClientSecret,
        request_hash: bytes,
        *,
        old_expires_at: datetime | None,
        audit: AuditEvent,
        former: ClientPolicy | None = None,
    ) -> bool:
        """Add a secret; False when the client's state does not allow it, or its policy is not
        `former` any more.

        With `old_expires_at` (rotation, of an ACTIVE client) the others end then at the latest.
        Without (collection, of an APPROVED client, or an ACTIVE one none of whose secrets was
        used) it replaces them, and the client is ACTIVE. The same request and secret again
        changes nothing and is True; the same request with another secret (the pepper has moved
        on meanwhile) takes the place of the unused one.
        """

        async def change() -> bool:
            async with self._database.transaction() as conn:
                row = await conn.fetchrow(LOCK_CLIENT, client_id)
                if row is None or not is_former(row["policy"], former):
                    return False
                rotation = old_expires_at is not None
                if not await _allows(conn, client_id, row["state"], rotation=rotation):
                    return False
                if await conn.fetchval(_KNOWN, client_id, request_hash, secret.secret_hash):
                    return True
                if old_expires_at is None:
                    await conn.execute(_DROP_ALL, client_id)
                    await conn.execute(_ACTIVATE, client_id, audit.at)
                else:
                    await conn.execute(_DROP_OUTDATED, client_id, audit.at, request_hash)
                    await conn.execute(_END_OTHERS, client_id, old_expires_at)
                await conn.execute(_INSERT, client_id, *_args(secret, request_hash))
                await audit_log.write(conn, audit)
                await trust.append(conn, [], now=audit.at, bump_config=True)
                return True

        return await retry_deadlock(change)

    async def mark_used(self, client_id: str, secret_hash: bytes, now: datetime) -> None:
        """First use of a secret: notes the time and uses up the registration secret. Nothing for
        a secret that was used before, or replaced meanwhile."""

        async def change() -> None:
            async with self._database.transaction() as conn:
                await conn.execute(LOCK_CLIENT, client_id)
                if not count_of(await conn.execute(_MARK_USED, client_id, secret_hash, now)):
                    return
                await conn.execute(_SPEND_REGISTRATION, client_id)
                await audit_log.write(conn, _first_use(client_id, now))
                await trust.append(conn, [], now=now, bump_config=True)

        await retry_deadlock(change)

    async def rehash_secret(
        self, client_id: str, old_hash: bytes, new_hash: bytes, pepper_id: str
    ) -> None:
        """Move a secret's hash to another pepper.

        Neither audited nor announced: which secret is good does not change, and a node that
        knows the former hash still recognises it.
        """
        await self._database.execute(_REHASH, client_id, old_hash, new_hash, pepper_id)


async def _allows(conn: Connection, client_id: str, state: int, *, rotation: bool) -> bool:
    if rotation:
        return state == ClientState.ACTIVE
    if state not in {ClientState.APPROVED, ClientState.ACTIVE}:
        return False
    return not await conn.fetchval(_ANY_USED, client_id)


def _args(secret: ClientSecret, request_hash: bytes) -> tuple[object, ...]:
    return (
        secret.secret_hash,
        secret.pepper_id,
        request_hash,
        secret.created_at,
        secret.expires_at,
        secret.first_used_at,
    )


def _first_use(client_id: str, now: datetime) -> AuditEvent:
    return AuditEvent(
        at=now, actor=client_id, action="client.first_use", outcome="ok", target=client_id
    )
