"""One-time codes: one row each, and one statement for each thing that happens to them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from asyncpg import Record

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.codes import sql as code_sql
from token_service.adapters.postgres.failures import MAX_ATTEMPTS
from token_service.adapters.postgres.locked import RowLocked, until_free
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.removal import Removal
from token_service.domain import durability
from token_service.domain.audit import AuditEvent
from token_service.domain.codes.decision import (
    ATTEMPT_WINDOW,
    REMEMBERED,
    Code,
    Presented,
    RedeemView,
    Redemption,
)
from token_service.domain.errors import store_unavailable
from token_service.domain.kinds import CodeKind
from token_service.domain.ports import RedeemAnswer


class CodeStore:
    """`domain.ports.CodeStore` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.removals = (
            Removal(database, code_sql.REMOVE_REDEMPTIONS, kept=REMEMBERED),
            Removal(database, code_sql.REMOVE, kept=REMEMBERED),
        )
        """Of what need not be remembered any more, in this order."""

    async def insert(self, code: Code, audit: AuditEvent) -> bool:
        """Insert the code, with its audit row, in the place of the verification code that it
        replaces; False when its request, its place or its hash was taken meanwhile."""
        try:
            await self._ask(code_sql.INSERT, *_args(code), *audit_log.args(audit))
        except asyncpg.UniqueViolationError:
            return False
        durability.note_commit()
        return True

    async def by_request(self, client_id: str, request_id: str) -> Code | None:
        """The code that this request of the client made."""
        row = await self._database.fetchrow(code_sql.BY_REQUEST, client_id, request_id)
        return None if row is None else _code(row)

    async def redeem(
        self, presented: Presented, buckets: Sequence[bytes], now: datetime, audit: AuditEvent
    ) -> RedeemAnswer:
        """Use the code once, or count a wrong one, or tell why neither was done."""
        args = (
            presented.hashes,
            presented.client_id,
            presented.purpose,
            presented.recipient,
            now,
            presented.request_id or None,
            presented.redeemer,
            buckets,
            now + ATTEMPT_WINDOW,
            audit.actor,
            audit.action,
            audit.outcome,
            audit.request_id,
            audit.address,
        )
        for _ in range(MAX_ATTEMPTS):
            try:
                row = await self._ask(code_sql.REDEEM, *args)
            except asyncpg.UniqueViolationError:
                continue  # the same request was first: the next reading has what it redeemed
            if row["hit"] is not None:  # used, or counted as wrong
                durability.note_commit()
            return _answer(row, presented)
        raise store_unavailable()

    async def get(self, client_id: str, code_id: UUID) -> Code | None:
        """One of the client's codes."""
        row = await self._database.fetchrow(code_sql.GET, code_id, client_id)
        return None if row is None else _code(row)

    async def revoke(self, client_id: str, code_id: UUID, audit: AuditEvent) -> Code | None:
        """End one of the client's codes; None when there is none, or it was revoked before."""
        row = await self._ask(code_sql.REVOKE, code_id, client_id, audit.at, *audit_log.args(audit))
        if row["code_id"] is None:
            return None
        durability.note_commit()
        return _code(row)

    async def _ask(self, sql: str, *args: object) -> Record:
        """The one row of a statement that tells whether its code is locked, once it is not."""

        async def attempt() -> Record:
            row = await self._database.fetchrow(sql, *args)
            if row is None or row["locked"]:
                raise RowLocked
            return row

        return await until_free(attempt, self._database)


def _args(code: Code) -> tuple[object, ...]:
    return (
        code.code_id,
        code.client_id,
        code.kind,
        code.purpose,
        code.recipient,
        code.subject,
        code.max_uses,
        code.length,
        code.alphabet,
        code.payload,
        code.created_at,
        code.not_before,
        code.expires_at,
        code.code_hash,
        code.pepper_id,
        code.request_id or None,
        code.request_hash,
    )


def _code(row: Record) -> Code:
    return Code(
        code_id=row["code_id"],
        client_id=row["client_id"],
        kind=CodeKind(row["kind"]),
        purpose=row["purpose"],
        recipient=row["recipient"],
        subject=row["subject"],
        max_uses=row["max_uses"],
        length=row["length"],
        alphabet=row["alphabet"],
        payload=row["payload"],
        created_at=row["created_at"],
        not_before=row["not_before"],
        expires_at=row["expires_at"],
        code_hash=row["code_hash"],
        pepper_id=row["pepper_id"],
        request_id=row["request_id"] or "",
        request_hash=row["request_hash"],
        uses=row["uses"],
        failures=row["failures"],
        failures_until=row["failures_until"],
        revoked_at=row["revoked_at"],
        last_redeemed_at=row["last_redeemed_at"],
    )


def _answer(row: Record, presented: Presented) -> RedeemAnswer:
    if row["hit"]:
        redeemed = Redemption(
            code_id=row["hit_id"],
            code_hash=b"",
            purpose=presented.purpose,
            recipient=presented.recipient,
            redeemer=presented.redeemer,
            uses_left=row["hit_left"],
            payload=row["hit_payload"],
        )
        return RedeemAnswer(redeemed=redeemed)
    past = None
    if row["past_id"] is not None:
        past = Redemption(
            code_id=row["past_id"],
            code_hash=row["past_hash"],
            purpose=row["past_purpose"],
            recipient=row["past_recipient"],
            redeemer=row["past_redeemer"],
            uses_left=row["past_left"],
            payload=row["past_payload"],
        )
    seen = None if row["code_id"] is None else _code(row)
    view = RedeemView(code=seen, redemption=past, locked_until=row["until"])
    return RedeemAnswer(view=view, counted=row["hit"] is False)
