"""Epochs of the trust log: how one ends and the next begins.

A new epoch leaves room above all numbers of the former one, so that none means two things, and
nothing that a node remembers by number is taken for something of the new log.
"""

from collections.abc import Sequence
from uuid import UUID

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.pool import Connection
from token_service.adapters.postgres.replication import SYNCHRONOUS
from token_service.adapters.postgres.trust.log import CHANNEL, NewEntry, append
from token_service.adapters.postgres.trust_head import QUEUE
from token_service.domain.audit import AuditEvent
from token_service.domain.kinds import KeyState, RevocationReason, TrustEffect, TrustEntryKind
from token_service.domain.trust.reading import TrustReading
from token_service.domain.trust.succession import JUMP, Ended

# A statement of its own: the next one sees what was committed until the lock was given.
_LOCK = "SELECT epoch FROM trust_head WHERE epoch = COALESCE($1::uuid, epoch) FOR UPDATE"
# A node that has seen more of the log than this database has may have seen higher versions too.
# Each epoch lifts them as far as the revision, which they are far from outrunning: so above the
# highest revision that any node saw there is none that a node knows.
_BEGIN = f"""
WITH former AS (
    INSERT INTO trust_successions (epoch, revision, beat, fenced, ended_at)
    SELECT h.epoch, h.revision, b.beat, $2::boolean, clock_timestamp()
    FROM trust_head h, trust_beat b
), beaten AS (
    UPDATE trust_beat
    SET beat = beat + 1, beaten_at = clock_timestamp(), synchronous = {SYNCHRONOUS}
)
UPDATE trust_head
SET epoch = gen_random_uuid(),
    revision = GREATEST(revision, $1::bigint) + {JUMP},
    config_version = GREATEST(config_version, revision, $1::bigint) + {JUMP},
    keys_version = GREATEST(keys_version, revision, $1::bigint) + {JUMP},
    system_identifier = trust_system_identifier(),
    timeline = trust_timeline()
RETURNING revision, pg_notify('{CHANNEL}', '')
"""  # noqa: S608 - constants
_RECORD = """
UPDATE trust_head SET system_identifier = trust_system_identifier(), timeline = trust_timeline()
WHERE epoch = $1::uuid AND system_identifier IS NOT DISTINCT FROM $2::bigint
  AND timeline IS NOT DISTINCT FROM $3::bigint
"""
_ENDED = "SELECT revision, beat FROM trust_successions WHERE epoch = $1::uuid"

_COMPROMISE = f"""
UPDATE keys SET state = {KeyState.COMPROMISED}, compromised_at = $2::timestamptz
WHERE kid = ANY ($1::text[]) AND state <> {KeyState.COMPROMISED}
RETURNING kid
"""  # noqa: S608 - constants

_EVERYTHING = NewEntry(
    TrustEntryKind.EVERYTHING, "", "", TrustEffect.REVOKE, RevocationReason.ADMINISTRATIVE
)


async def ended(conn: Connection, epoch: str, *, within: float) -> Ended | None:
    """How far the log of an epoch had come, in this database, when it ended."""
    row = await conn.fetchrow(_ENDED, epoch, timeout=within)
    return None if row is None else Ended(row["revision"], row["beat"])


async def record(conn: Connection, reading: TrustReading) -> None:
    """Write down which server this is, unless somebody did since the reading."""
    was = reading.recorded
    await conn.execute(_RECORD, reading.epoch, was.system_identifier, was.timeline)


async def succeed(conn: Connection, *, audit: AuditEvent, only_epoch: UUID | None) -> int | None:
    """Begin a new epoch in which all sessions go on, in the caller's transaction; the revision.

    With `only_epoch` nothing happens, and the answer is None, unless the log is still that one:
    another node was first.
    """
    revision = await _begin(conn, 0, only_epoch, fenced=False)
    if revision is not None:
        await audit_log.write(conn, audit)
    return revision


async def fence(
    conn: Connection,
    *,
    min_revision: int,
    audit: AuditEvent,
    only_epoch: UUID | None = None,
    compromised: Sequence[str] = (),
) -> int | None:
    """Begin a new epoch in which everyone logs in again; else as `succeed`.

    For a database that may lack revocations: nothing issued so far is accepted any more. The
    revision is above `min_revision` and all that any node may have seen. A new login does not help
    against a stolen key: those of `compromised` (by id) that are not so here become it again.
    """
    if await _begin(conn, min_revision, only_epoch, fenced=True) is None:
        return None
    forgotten = await conn.fetch(_COMPROMISE, compromised, audit.at)
    entries = [_EVERYTHING, *(_compromise(row["kid"]) for row in forgotten)]
    revision = await append(conn, entries, now=audit.at)
    await audit_log.write(conn, audit)
    return revision


def _compromise(kid: str) -> NewEntry:
    reason = RevocationReason.KEY_COMPROMISED
    return NewEntry(TrustEntryKind.KEY, kid, "", TrustEffect.REVOKE, reason)


async def _begin(
    conn: Connection, min_revision: int, only_epoch: UUID | None, *, fenced: bool
) -> int | None:
    await conn.execute(QUEUE)  # before the head, as all do who move it
    if await conn.fetchval(_LOCK, only_epoch) is None:
        return None
    return int(await conn.fetchval(_BEGIN, min_revision, fenced))
