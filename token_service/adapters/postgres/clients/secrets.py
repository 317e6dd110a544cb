"""The secrets of clients: keyed hashes that come, are used, and end."""

from datetime import datetime

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.clients.rows import is_former, lock_client
from token_service.adapters.postgres.command_tags import count_of
from token_service.adapters.postgres.locked import until_free
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust import log as trust
from token_service.domain.audit import AuditEvent
from token_service.domain.clients.client import ClientSecret
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.kinds import ClientState

_USED_AND_KNOWN = """
SELECT COALESCE(bool_or(first_used_at IS NOT NULL), false) AS used,
       COALESCE(bool_or(request_hash = $2 AND secret_hash = $3), false) AS known
FROM client_secrets WHERE client_id = $1
"""
_NEW = """
    INSERT INTO client_secrets (client_id, secret_hash, pepper_id, request_hash, created_at,
                                expires_at, first_used_at)
    SELECT $1::text, $2::bytea, $3::text, $4::bytea, $5::timestamptz, $6::timestamptz,
           $7::timestamptz
"""
_COLLECT = f"""
WITH dropped AS (
    DELETE FROM client_secrets WHERE client_id = $1::text RETURNING 1
), activated AS (
    UPDATE clients SET state = {ClientState.ACTIVE}, updated_at = $8::timestamptz
    WHERE client_id = $1::text
), added AS ({_NEW} FROM (SELECT count(*) FROM dropped) AS after RETURNING client_id
)
{audit_log.insert_from("added", 8)}
"""  # noqa: S608 - constants, here and below
# Those of the same request that were made under another pepper are dropped: a reply that nobody has
# used.
_ROTATE = f"""
WITH dropped AS (
    DELETE FROM client_secrets
    WHERE client_id = $1::text
      AND (expires_at <= $8::timestamptz OR (request_hash = $4 AND first_used_at IS NULL))
    RETURNING secret_hash
), ended AS (
    UPDATE client_secrets SET expires_at = LEAST(expires_at, $17::timestamptz)
    WHERE client_id = $1::text
      AND NOT (expires_at IS NOT NULL AND expires_at <= $8::timestamptz
               OR request_hash = $4 AND first_used_at IS NULL)
), added AS ({_NEW} FROM (SELECT count(*) FROM dropped) AS after RETURNING client_id
)
{audit_log.insert_from("added", 8)}
"""  # noqa: S608
_MARK_USED = f"""
WITH marked AS (
    UPDATE client_secrets SET first_used_at = $3::timestamptz
    WHERE client_id = $1::text AND secret_hash = $2::bytea AND first_used_at IS NULL
    RETURNING client_id
), spent AS (
    UPDATE clients
    SET registration_spent = COALESCE(registration_hash, registration_spent),
        registration_hash = NULL
    FROM marked WHERE clients.client_id = marked.client_id
)
{audit_log.insert_from("marked", 4)}
"""  # noqa: S608
# One that is locked is moved at its next use.
_REHASH = """
UPDATE client_secrets SET secret_hash = $3, pepper_id = $4
WHERE secret_hash = (SELECT secret_hash FROM client_secrets
                     WHERE client_id = $1 AND secret_hash = $2 FOR UPDATE SKIP LOCKED)
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
                row = await lock_client(conn, client_id)
                if row is None or not is_former(row["policy"], former):
                    return False
                rotation = old_expires_at is not None
                asked = (client_id, request_hash, secret.secret_hash)
                found = await conn.fetchrow(_USED_AND_KNOWN, *asked)
                if found is None or not _allows(row["state"], found["used"], rotation=rotation):
                    return False
                if found["known"]:
                    return True
                args = (client_id, *_args(secret, request_hash), *audit_log.args(audit))
                if rotation:
                    await conn.execute(_ROTATE, *args, old_expires_at)
                else:
                    await conn.execute(_COLLECT, *args)
                await trust.append(conn, [], now=audit.at, bump_config=True)
                return True

        return await until_free(change, self._database)

    async def mark_used(self, client_id: str, secret_hash: bytes, now: datetime) -> None:
        """First use of a secret: notes the time and uses up the registration secret. Nothing for
        a secret that was used before, or replaced meanwhile."""

        async def change() -> None:
            async with self._database.transaction() as conn:
                await lock_client(conn, client_id)
                event = audit_log.args(_first_use(client_id, now))
                if count_of(await conn.execute(_MARK_USED, client_id, secret_hash, now, *event)):
                    await trust.append(conn, [], now=now, bump_config=True)

        await until_free(change, self._database)

    async def rehash_secret(
        self, client_id: str, old_hash: bytes, new_hash: bytes, pepper_id: str
    ) -> None:
        """Move a secret's hash to another pepper.

        Neither audited nor announced: which secret is good does not change, and a node that
        knows the former hash still recognises it.
        """
        await self._database.execute(_REHASH, client_id, old_hash, new_hash, pepper_id)


def _allows(state: int, used: bool, *, rotation: bool) -> bool:
    if rotation:
        return state == ClientState.ACTIVE
    return state in {ClientState.APPROVED, ClientState.ACTIVE} and not used


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
