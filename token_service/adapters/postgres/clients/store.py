"""Registered applications, their secrets' hashes and their policies.

States: PENDING → APPROVED or REJECTED by a review; APPROVED → ACTIVE when the credentials are
collected for the first time (from then on sessions can be issued for the client, by itself or by
a gateway); ACTIVE ↔ DISABLED. The registration secret is good for collecting anew until the first
use of a secret.
"""

from itertools import groupby
from operator import itemgetter
from uuid import uuid4

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.clients.rows import (
    CLIENT_COLUMNS,
    INSERT_CLIENT,
    JOINED_COLUMNS,
    client_args,
    client_from_rows,
    is_former,
    lock_client,
    secret_columns,
)
from token_service.adapters.postgres.clients.secrets import ClientSecretStore
from token_service.adapters.postgres.locked import RowLocked, until_free
from token_service.adapters.postgres.paging import start_of, token_after
from token_service.adapters.postgres.policy_json import policy_from_text, policy_to_json
from token_service.adapters.postgres.pool import Connection, Database, retry_deadlock
from token_service.adapters.postgres.trust import cascade_sql
from token_service.adapters.postgres.trust import log as trust
from token_service.adapters.postgres.trust.cascade import BATCH, Cascades
from token_service.adapters.postgres.trust_head import JOIN_HEAD, of_head
from token_service.domain import durability
from token_service.domain.audit import AuditEvent
from token_service.domain.clients.client import Client
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, RevocationReason, TrustEffect, TrustEntryKind

_GET = f"""
SELECT {CLIENT_COLUMNS}, {JOINED_COLUMNS}, h.config_version, h.revision
FROM clients c {JOIN_HEAD} LEFT JOIN client_secrets s ON s.client_id = c.client_id
WHERE c.client_id = $1
ORDER BY s.created_at DESC, s.secret_hash
"""  # noqa: S608 - constants, here and below
_PAGE = f"""
SELECT {CLIENT_COLUMNS}, {JOINED_COLUMNS}
FROM (SELECT * FROM clients
      WHERE ($1::smallint IS NULL OR state = $1) AND client_id > $2
      ORDER BY client_id LIMIT $3) c
LEFT JOIN client_secrets s ON s.client_id = c.client_id
ORDER BY c.client_id, s.created_at DESC, s.secret_hash
"""  # noqa: S608
_REVIEW = f"""
WITH reviewed AS (
    UPDATE clients
    SET state = $2::smallint, policy = COALESCE($3::jsonb, policy), review_note = $4,
        reviewed_by = $5, updated_at = $6::timestamptz
    WHERE client_id = $1::text AND state = {ClientState.PENDING}
    RETURNING policy::text AS policy
), audited AS ({audit_log.insert_from("reviewed", 7)})
SELECT policy FROM reviewed
"""  # noqa: S608
_SET_POLICY = f"""
WITH changed AS (
    UPDATE clients SET policy = $2, updated_at = $3::timestamptz WHERE client_id = $1
    RETURNING 1
)
{audit_log.insert_from("changed", 4)}
"""  # noqa: S608
_GET_STATE = "SELECT state, policy::text AS policy FROM clients WHERE client_id = $1"

# One that is as it was read is switched; else nothing happens, and it is read again.
_HELD = """
WITH held AS MATERIALIZED (
    SELECT client_id FROM clients
    WHERE client_id = $1::text AND state = $2::smallint AND policy = $3::text::jsonb
    FOR NO KEY UPDATE SKIP LOCKED
)"""
_DISABLE = f"""{_HELD}, entries AS MATERIALIZED (
    SELECT {TrustEntryKind.CLIENT}::smallint AS kind, client_id AS id, '' AS device_id,
           {TrustEffect.REVOKE}::smallint AS effect,
           {RevocationReason.CLIENT_DISABLED}::smallint AS reason, 1::bigint AS place
    FROM held
), {trust.appending("entries", now="$4", config="1", when="e.n > 0")}, changed AS (
    UPDATE clients c SET state = {ClientState.DISABLED}, valid_rev = numbered.rev,
                         updated_at = $4::timestamptz
    FROM numbered WHERE c.client_id = numbered.id
), begun AS (
    INSERT INTO cascades ({cascade_sql.COLUMNS}, worked_at)
    SELECT $13::uuid, kind, id, device_id, reason, rev, NULL, $5, $8, $9, $10, $11,
           $4::timestamptz
    FROM numbered
), audited AS ({audit_log.insert_from("numbered", 4)})
SELECT EXISTS (SELECT FROM held) AS held, {trust.NOTIFIED},
       (SELECT revision FROM head) AS revision
"""  # noqa: S608
# To where it was: credentials that were never collected still can be.
_IS_HELD = "EXISTS (SELECT FROM held)"
_ENABLE = f"""{_HELD}, entries AS MATERIALIZED (
    SELECT {trust.NO_ENTRY}
), {trust.appending("entries", now="$4", config="1", when=_IS_HELD)}, changed AS (
    UPDATE clients c
    SET state = CASE WHEN c.registration_hash IS NOT NULL
                      AND NOT EXISTS (SELECT FROM client_secrets s WHERE s.client_id = c.client_id)
                     THEN {ClientState.APPROVED} ELSE {ClientState.ACTIVE} END,
        updated_at = $4::timestamptz
    FROM head WHERE c.client_id = $1::text
), audited AS ({audit_log.insert_from("head", 4)})
SELECT EXISTS (SELECT FROM held) AS held, {trust.NOTIFIED},
       (SELECT revision FROM head) AS revision
"""  # noqa: S608
_DROP_REJECTED = f"""
DELETE FROM clients WHERE client_id = $1 AND state = {ClientState.REJECTED}
"""  # noqa: S608
_IN_USE = {ClientState.APPROVED, ClientState.ACTIVE, ClientState.DISABLED}


class ClientStore(ClientSecretStore):
    """`domain.ports.ClientStore` on PostgreSQL.

    Each change locks the client first and the trust head last. A change to what is so already
    writes nothing.
    """

    def __init__(self, database: Database, *, max_descendants: int = BATCH) -> None:
        """At most so many descendants of a client that is disabled to a transaction."""
        super().__init__(database)
        self._cascades = Cascades(database, batch=max_descendants)

    async def get(self, client_id: str) -> tuple[Client, int] | None:
        """The client with its secrets' hashes, newest first, and the configuration version, in
        one snapshot."""
        rows = await self._database.fetch(_GET, client_id)
        return (client_from_rows(rows), of_head(rows[0]["config_version"])) if rows else None

    async def page(
        self, state: ClientState | None, page_size: int, page_token: str
    ) -> tuple[tuple[Client, ...], str]:
        """Clients by id, with their secrets' hashes, and the token of the next page. Raises
        FIELD_INVALID."""
        rows = await self._database.fetch(_PAGE, state, start_of(page_token), page_size + 1)
        by_client = groupby(rows, key=itemgetter("client_id"))
        found = tuple(client_from_rows(tuple(own)) for _, own in by_client)
        clients = found[:page_size]
        more = len(found) > page_size
        return clients, token_after(clients[-1].client_id) if more and clients else ""

    async def insert(
        self, client: Client, audit: AuditEvent, *, over_rejected: bool = False
    ) -> bool:
        """Add a client, with its secrets if it has any; False when the id is taken. With
        `over_rejected` it takes the place of a client that was REJECTED: that never had anything.

        A PENDING one leaves the configuration version alone: no node holds anything that it
        changes, and whoever may register must not be able to empty every node's caches.
        """

        async def change() -> bool:
            async with self._database.transaction() as conn:
                if over_rejected:
                    await conn.execute(_DROP_REJECTED, client.client_id)
                if await conn.fetchval(INSERT_CLIENT, *client_args(client)) is None:
                    return False
                await conn.execute(_INSERT_SECRETS, client.client_id, *secret_columns(client))
                await audit_log.write(conn, audit)
                if client.state is not ClientState.PENDING:
                    await _publish(conn, client.policy, audit)
                return True

        return await retry_deadlock(change)

    async def review(
        self,
        client_id: str,
        state: ClientState,
        policy: ClientPolicy | None,
        note: str,
        audit: AuditEvent,
    ) -> bool:
        """PENDING → `state`, with `policy` unless it is None, reviewed by the audit row's actor;
        False when the client was not PENDING. Of two reviewers at once one wins."""
        json = None if policy is None else policy_to_json(policy)

        async def change() -> bool:
            async with self._database.transaction() as conn:
                if await lock_client(conn, client_id) is None:
                    return False
                args = (client_id, state, json, note, audit.actor, audit.at)
                row = await conn.fetchrow(_REVIEW, *args, *audit_log.args(audit))
                if row is None:
                    return False
                await _publish(conn, policy_from_text(row["policy"]), audit)
                return True

        return await until_free(change, self._database)

    async def update_policy(
        self,
        client_id: str,
        policy: ClientPolicy,
        *,
        narrowed: bool,
        audit: AuditEvent,
        former: ClientPolicy | None = None,
    ) -> tuple[Client, int] | None:
        """Replace the policy; the client and the trust revision, None when there is no such one
        or its policy is not `former` any more.

        Access tokens are reissued when the caller found it `narrowed`, and when it narrows what
        another change has put there since.
        """

        async def change() -> bool:
            async with self._database.transaction() as conn:
                row = await lock_client(conn, client_id)
                if row is None or not is_former(row["policy"], former):
                    return False
                present = policy_from_text(row["policy"])
                json = policy_to_json(policy)
                await conn.execute(_SET_POLICY, client_id, json, audit.at, *audit_log.args(audit))
                entries = []
                if narrowed or policy.narrows(present):
                    effect, reason = TrustEffect.REISSUE, RevocationReason.POLICY_NARROWED
                    entries.append(_entry(client_id, effect, reason))
                await _publish(conn, policy, audit, *entries)
                return True

        changed = await until_free(change, self._database)
        return await self._with_revision(client_id) if changed else None

    async def set_enabled(
        self,
        client_id: str,
        enabled: bool,
        audit: AuditEvent,
        *,
        former: ClientPolicy | None = None,
    ) -> tuple[Client, int] | None:
        """Disable (every session and access token of the client dies) or enable again; the client
        and the trust revision, None when there is no such one or its policy is not `former` any
        more.

        Disabling returns once all that its sessions let in is revoked as well, and goes on with it
        where an earlier call did not come to the end.

        Raises CLIENT_STATE for one that was not approved: enabling it would be no review.
        """
        switched = await until_free(
            lambda: self._switch(client_id, enabled, audit, former), self._database
        )
        if switched is None:
            return None
        found = await self._with_revision(client_id)
        if enabled or found is None:
            return found
        client, revision = found
        finished = await self._cascades.finish_those_of(TrustEntryKind.CLIENT, client_id, audit.at)
        return client, max(revision, finished)

    async def _switch(
        self, client_id: str, enabled: bool, audit: AuditEvent, former: ClientPolicy | None
    ) -> bool | None:
        """Whether the client was in the other state; None: there is none, or its policy is another
        one. Raises RowLocked, also where it was changed just now, and CLIENT_STATE."""
        row = await self._database.fetchrow(_GET_STATE, client_id)
        if row is None or not is_former(row["policy"], former):
            return None
        if row["state"] not in _IN_USE:
            raise TokenServiceError(Reason.CLIENT_STATE, "the client was not approved")
        if enabled is not (row["state"] == ClientState.DISABLED):
            return False
        args = (client_id, row["state"], row["policy"], *audit_log.args(audit))
        if enabled:
            done = await self._database.change(_ENABLE, *args)
        else:
            done = await self._database.change(_DISABLE, *args, uuid4())
        if done is None or not done["held"]:
            raise RowLocked
        if done["revision"] is None:
            raise self._database.fencing.moved()
        durability.note_commit()
        return True

    async def _with_revision(self, client_id: str) -> tuple[Client, int] | None:
        rows = await self._database.fetch(_GET, client_id)
        return (client_from_rows(rows), of_head(rows[0]["revision"])) if rows else None

    async def close(self) -> None:
        """Break off what goes on although nobody waits for it; another process finishes it."""
        await self._cascades.close()


_INSERT_SECRETS = """
INSERT INTO client_secrets (client_id, secret_hash, request_hash, pepper_id, created_at,
                            expires_at, first_used_at)
SELECT $1, secret_hash, secret_hash, pepper_id, created_at, expires_at, first_used_at
FROM unnest($2::bytea[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
     AS s (secret_hash, pepper_id, created_at, expires_at, first_used_at)
"""


async def _publish(
    conn: Connection, policy: ClientPolicy, audit: AuditEvent, *entries: trust.NewEntry
) -> None:
    await trust.append(
        conn, entries, now=audit.at, bump_config=True, longest_access=policy.call_lifetime
    )


def _entry(client_id: str, effect: TrustEffect, reason: RevocationReason) -> trust.NewEntry:
    return trust.NewEntry(TrustEntryKind.CLIENT, client_id, "", effect, reason)
