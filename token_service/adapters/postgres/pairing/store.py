"""Pairings: one row each from the scan on, and one statement for each step."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from asyncpg import Record

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres import trust_head
from token_service.adapters.postgres.fencing import LogMovedError
from token_service.adapters.postgres.locked import RowLocked, until_free
from token_service.adapters.postgres.pairing import sql as pairing_sql
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.removal import Removal
from token_service.adapters.postgres.sessions.rows import session_args, view_from_row
from token_service.domain import durability
from token_service.domain.audit import AuditEvent
from token_service.domain.clients.policy_rules import MAX_REPLAY_WINDOW
from token_service.domain.kinds import Amr, PairingDirection, PairingEndReason, PairingState
from token_service.domain.pairing.decision import Login, Pairing
from token_service.domain.ports import CodeTombstone, CollectGuard, Inserted, PairingMove
from token_service.domain.sessions.session import Device, Session, SessionView

REMEMBERED = MAX_REPLAY_WINDOW + timedelta(hours=1)
"""How long a pairing that is over is kept: its collection may be asked for again."""


class PairingStore:
    """`domain.ports.PairingStore` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.removals = (
            Removal(database, pairing_sql.EXPIRE),
            Removal(database, pairing_sql.REMOVE_CODES),
            Removal(database, pairing_sql.REMOVE, kept=REMEMBERED),
        )
        """The first ends what nobody ended in time, the others forget what is over."""

    async def get(self, pairing_id: UUID) -> Pairing | None:
        """By id."""
        row = await self._database.fetchrow(pairing_sql.GET, pairing_id)
        return None if row is None else _pairing(row)

    async def find_by_code(self, code_hashes: Sequence[bytes], now: datetime) -> Pairing | None:
        """By a code whose two minutes are not over."""
        row = await self._database.fetchrow(pairing_sql.FIND_BY_CODE, list(code_hashes), now)
        return None if row is None else _pairing(row)

    async def insert(
        self, pairing: Pairing, codes: Sequence[CodeTombstone], audit: AuditEvent
    ) -> bool:
        """Keep the pairing with the tombstones of its codes; False when it is there already."""
        row = await self._database.fetchrow(
            pairing_sql.INSERT,
            *_args(pairing),
            [code.code_hash for code in codes],
            [code.dies_at for code in codes],
            *audit_log.args(audit),
        )
        if row is not None:
            durability.note_commit()
        return row is not None

    async def move(self, change: PairingMove, audit: AuditEvent) -> bool:
        """Take one step; False when it is not any more what was decided on."""
        login = change.login
        args = (
            change.pairing_id,
            change.from_state,
            change.from_wrong_numbers,
            change.state,
            change.wrong_numbers,
            change.ends_at,
            change.at,
            login.auth_time if login else None,
            login.acr if login else None,
            login.amr if login else None,
            change.end_reason,
            *audit_log.args(audit),
        )

        async def move() -> bool:
            row = await self._database.fetchrow(pairing_sql.MOVE, *args)
            if row is None or row["locked"]:
                raise RowLocked
            return bool(row["moved"])

        moved = await until_free(move, self._database)
        if moved:
            durability.note_commit()
        return moved

    async def collect(
        self, child: Session, guard: CollectGuard, audit: AuditEvent
    ) -> Inserted | None:
        """Complete the pairing and insert its session; None: something else was decided on."""

        async def complete() -> Inserted | None:
            async with self._database.transaction(trust_head.HOLD) as conn:
                row = await conn.fetchrow(
                    pairing_sql.COLLECT,
                    *session_args(child),
                    guard.config_version,
                    guard.user_version,
                    guard.attempt_bucket,
                    self._database.fencing.epoch,
                    *audit_log.args(audit),
                )
                if row is None or not row["current"]:
                    raise LogMovedError
                if row["locked"]:
                    raise RowLocked
                return None if row["rev"] is None else Inserted(row["rev"])

        return await until_free(complete, self._database)

    async def approver(self, session_id: UUID) -> tuple[SessionView, str] | None:
        """A session by its public id with all that decides over it, and its user's name."""
        row = await self._database.fetchrow(pairing_sql.VIEW_OF_APPROVER, session_id)
        return None if row is None else (view_from_row(row), row["username"] or "")

    async def is_locked(self, attempt_bucket: bytes, now: datetime) -> bool:
        """Whether a bucket of failed logins is locked."""
        row = await self._database.fetchrow(pairing_sql.IS_LOCKED, attempt_bucket, now)
        return row is not None

    async def child(self, pairing_id: UUID) -> SessionView | None:
        """The session that came of a pairing with all that decides over it, in one snapshot."""
        row = await self._database.fetchrow(pairing_sql.VIEW_OF_CHILD, pairing_id)
        return None if row is None else view_from_row(row)


def _args(pairing: Pairing) -> tuple[object, ...]:
    login = pairing.login
    return (
        pairing.pairing_id,
        pairing.direction,
        pairing.state,
        pairing.direct,
        pairing.wrong_numbers,
        pairing.end_reason,
        login.acr if login else None,
        login.amr if login else None,
        login.auth_time if login else None,
        pairing.approver_session,
        pairing.child_session,
        pairing.started_at,
        pairing.scanned_at,
        pairing.ends_at,
        pairing.client_id,
        pairing.starter_client,
        pairing.scanner_client,
        pairing.pepper_id,
        pairing.watch_hash,
        pairing.scan_hash,
        pairing.audiences,
        pairing.scopes,
        _from_device(pairing.starter),
        _from_device(pairing.scanner),
    )


def _pairing(row: Record) -> Pairing:
    auth_time = row["approver_auth_time"]
    login = None
    if auth_time is not None:
        login = Login(auth_time, row["approver_acr"], Amr(row["approver_amr"]))
    return Pairing(
        pairing_id=row["pairing_id"],
        direction=PairingDirection(row["direction"]),
        direct=row["direct"],
        client_id=row["client_id"],
        starter_client=row["starter_client"],
        pepper_id=row["pepper_id"],
        watch_hash=row["watch_hash"],
        audiences=tuple(row["audiences"]),
        scopes=tuple(row["scopes"]),
        starter=Device(*row["starter"]),
        started_at=row["started_at"],
        state=PairingState(row["state"]),
        ends_at=row["ends_at"],
        approver_session=row["approver_session"],
        login=login,
        scanner_client=row["scanner_client"],
        scan_hash=row["scan_hash"],
        scanner=Device(*row["scanner"]),
        scanned_at=row["scanned_at"],
        wrong_numbers=row["wrong_numbers"],
        end_reason=PairingEndReason(row["end_reason"]),
        child_session=row["child_session"],
    )


def _from_device(device: Device) -> list[str]:
    return [device.device_id, device.name, device.user_agent, device.ip_address]
