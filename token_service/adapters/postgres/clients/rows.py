"""Rows of clients and their secrets as records, and the other way round."""

from collections.abc import Sequence

from asyncpg import Record

from token_service.adapters.postgres.locked import RowLocked
from token_service.adapters.postgres.policy_json import policy_from_text, policy_to_json
from token_service.adapters.postgres.pool import Connection
from token_service.domain.clients.client import Client, ClientSecret
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.kinds import ClientState

CLIENT_COLUMNS = """
    c.client_id, c.name, c.contact, c.state, c.policy::text AS policy, c.valid_rev,
    c.registered_by, c.reviewed_by, c.review_note, c.registration_hash, c.registration_pepper,
    c.registration_spent, c.created_at, c.updated_at
"""
"""What `client_from_row` reads, for a query that calls the table `c`."""

JOINED_COLUMNS = """
    s.secret_hash, s.pepper_id, s.created_at AS secret_created_at, s.expires_at, s.first_used_at
"""
"""What `client_from_rows` reads besides, for one that joins the secrets as `s`."""

INSERT_CLIENT = """
INSERT INTO clients (client_id, name, contact, state, policy, registered_by, reviewed_by,
                     review_note, registration_hash, registration_pepper, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (client_id) DO NOTHING
RETURNING client_id
"""

_LOCK_CLIENT = """
WITH held AS MATERIALIZED (
    SELECT state, policy::text AS policy FROM clients WHERE client_id = $1
    FOR NO KEY UPDATE SKIP LOCKED
)
SELECT held.state, held.policy FROM clients LEFT JOIN held ON true WHERE client_id = $1
"""


async def lock_client(conn: Connection, client_id: str) -> Record | None:
    """Lock a client and read its state and policy; None: there is none. Each change to a client
    takes this lock first. Raises RowLocked."""
    row = await conn.fetchrow(_LOCK_CLIENT, client_id)
    if row is not None and row["state"] is None:
        raise RowLocked
    return row


def is_former(present: str, former: ClientPolicy | None) -> bool:
    """Whether the locked policy is still the one that a change was decided on (None: any is)."""
    return former is None or policy_from_text(present) == former


def client_args(client: Client) -> tuple[object, ...]:
    """The parameters of INSERT_CLIENT."""
    return (
        client.client_id,
        client.name,
        client.contact,
        client.state,
        policy_to_json(client.policy),
        client.registered_by,
        client.reviewed_by or None,
        client.review_note,
        client.registration_hash,
        client.registration_pepper or None,
        client.created_at,
        client.updated_at,
    )


def secret_columns(client: Client) -> tuple[list[object], ...]:
    """The client's secrets by column: hash, pepper, creation, expiry, first use."""
    secrets = client.secrets
    return (
        [secret.secret_hash for secret in secrets],
        [secret.pepper_id for secret in secrets],
        [secret.created_at for secret in secrets],
        [secret.expires_at for secret in secrets],
        [secret.first_used_at for secret in secrets],
    )


def client_from_row(row: Record, secrets: tuple[ClientSecret, ...] = ()) -> Client:
    """A client of a row with CLIENT_COLUMNS."""
    return Client(
        client_id=row["client_id"],
        name=row["name"],
        contact=row["contact"],
        state=ClientState(row["state"]),
        policy=policy_from_text(row["policy"]),
        valid_rev=row["valid_rev"],
        registered_by=row["registered_by"],
        reviewed_by=row["reviewed_by"] or "",
        review_note=row["review_note"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        secrets=secrets,
        registration_hash=row["registration_hash"] or row["registration_spent"],
        registration_pepper=row["registration_pepper"] or "",
        registration_spent=row["registration_hash"] is None
        and row["registration_spent"] is not None,
    )


def client_from_rows(rows: Sequence[Record]) -> Client:
    """A client of rows with CLIENT_COLUMNS and JOINED_COLUMNS, one for each secret (or one)."""
    secrets = (_secret(row) for row in rows if row["secret_hash"] is not None)
    return client_from_row(rows[0], tuple(secrets))


def _secret(row: Record) -> ClientSecret:
    return ClientSecret(
        secret_hash=row["secret_hash"],
        pepper_id=row["pepper_id"],
        created_at=row["secret_created_at"],
        expires_at=row["expires_at"],
        first_used_at=row["first_used_at"],
    )
