"""A small world in a real database: clients, users, a mint key, and sessions to try things on."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from tests.support import clocks
from tests.support.waiting import patience, until
from token_service.adapters.postgres.policy_json import policy_to_json
from token_service.adapters.postgres.pool import Connection, Database
from token_service.adapters.postgres.sessions.store import SessionStore
from token_service.domain.audit import AuditEvent
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import (
    Amr,
    ClientState,
    KeyPurpose,
    KeyState,
    Platform,
    RevocationReason,
    TokenKind,
    TrustEffect,
    TrustEntryKind,
)
from token_service.domain.ports import IssueGuard, SessionAdvance
from token_service.domain.sessions.exchange import require_live
from token_service.domain.sessions.session import Device, Session
from token_service.domain.trust.revocation import Revocation

NOW = clocks.NOW
POLICY = ClientPolicy(
    platforms=frozenset({Platform.WEB, Platform.MOBILE, Platform.API}),
    audiences=("orders", "payments"),
    scopes=frozenset({"orders.read", "orders.write"}),
)
AGENT = (
    "Mozilla/5.0 (Linux; Android 16; Pixel 11 Pro) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/149.0.0.0 Mobile Safari/537.36"
)
PHONE = Device("0f3c4ad2-7a52-4f2b-9a52-0d4f2ad27a52", "Ada's Pixel 11 Pro", AGENT, "203.0.113.77")


def event(action: str, target: object = "") -> AuditEvent:
    """An audit event at NOW."""
    return AuditEvent(
        at=NOW, actor="gateway", action=action, outcome="ok", target=str(target), request_id="r1"
    )


def revocation(kind: TrustEntryKind, id: object = "", **changes: Any) -> Revocation:  # noqa: A002
    """A revocation for an administrative reason, unless `changes` say something else."""
    given = Revocation(
        kind=kind,
        id=str(id),
        reason=RevocationReason.ADMINISTRATIVE,
        audit=event(f"revoke.{kind.name}", id),
    )
    return replace(given, **changes)


def advance_of(session: Session, **changes: Any) -> SessionAdvance:
    """An exchange of the session's current generation at NOW, decided in the initial world."""
    given = SessionAdvance(
        session_id=session.session_id,
        from_generation=session.generation,
        mint_kid=session.mint_kid,
        exchange_hash=bytes(range(32)),
        exchange_fingerprint=bytes(range(32, 64)),
        at=NOW,
        idle_seconds=session.idle_seconds,
        idle_expires_at=NOW + timedelta(seconds=session.idle_seconds),
        roles=session.roles,
        config_version=0,
        user_version=0 if session.user_id is None else 1,
    )
    return replace(given, **changes)


@dataclass(frozen=True)
class World:
    """One client "shop", one user with one role, one mint key; `sessions` is the store."""

    database: Database
    sessions: SessionStore
    user_id: UUID
    client_id: str = "shop"
    mint_kid: str = "a1b2c3d4"

    def session(self, **changes: Any) -> Session:
        """A mobile session of the user, not stored yet."""
        given = Session(
            session_id=uuid4(),
            lookup_id=uuid4(),
            kind=TokenKind.MOBILE_SESSION,
            platform=Platform.MOBILE,
            client_id=self.client_id,
            user_id=self.user_id,
            generation=1,
            mint_kid=self.mint_kid,
            exchange_hash=None,
            rev=0,
            acr=1,
            amr=Amr.PWD,
            auth_time=NOW,
            created_at=NOW,
            rotated_at=NOW,
            last_active_at=NOW,
            idle_seconds=3600,
            idle_expires_at=NOW + timedelta(hours=1),
            absolute_expires_at=NOW + timedelta(days=1),
            audiences=("orders", "payments"),
            scopes=("orders.read", "orders.write"),
            roles=("customer",),
            device=PHONE,
        )
        return replace(given, **changes)

    def own_session(self, **changes: Any) -> Session:
        """A session of the client itself, not stored yet."""
        own: Mapping[str, Any] = {
            "user_id": None,
            "kind": TokenKind.API_SESSION,
            "platform": Platform.API,
            "amr": Amr.APP,
            "roles": (),
        }
        return self.session(**{**own, **changes})

    @staticmethod
    def guard(**changes: Any) -> IssueGuard:
        """What holds in the initial world."""
        return replace(IssueGuard(0, user_version=1, credential_version=1), **changes)

    async def issue(self, session: Session | None = None) -> Session:
        """Store a session; as it was stored."""
        session = session or self.session()
        inserted = await self.sessions.insert(session, self.guard(), event("issue"))
        assert inserted is not None
        return replace(session, rev=inserted.rev)

    async def lives(self, session: Session) -> bool:
        """Whether the session can still be exchanged at NOW, as the domain decides."""
        view = await self.sessions.view(session.lookup_id)
        assert view is not None
        try:
            require_live(view, NOW)
        except TokenServiceError as error:
            if error.reason is not Reason.TOKEN_REVOKED:
                raise
            return False
        return True

    async def value(self, sql: str, *args: object) -> Any:
        """One value, straight from the database."""
        row = await self.database.fetchrow(sql, *args)
        return None if row is None else row[0]


async def make_world(database: Database) -> World:
    """Fill an empty, migrated database."""
    world = World(database, SessionStore(database), uuid4())
    await database.execute(
        "INSERT INTO roles VALUES ('customer', $1), ('clerk', $2)",
        ["orders.read", "orders.write"],
        ["orders.write", "orders.refund"],
    )
    await add_client(world, world.client_id)
    await add_user(world, world.user_id)
    await add_key(world, world.mint_kid)
    return world


async def add_client(world: World, client_id: str) -> None:
    await world.database.execute(
        """INSERT INTO clients (client_id, name, state, policy, registered_by, created_at,
                                updated_at) VALUES ($1, $1, $2, $3, 'test', $4, $4)""",
        client_id,
        ClientState.ACTIVE,
        policy_to_json(POLICY),
        NOW,
    )


async def add_user(world: World, user_id: UUID) -> None:
    await world.database.execute(
        """INSERT INTO users (user_id, username, password_hash, roles, created_at, updated_at)
           VALUES ($1, $2, 'none', '{customer}', $3, $3)""",
        user_id,
        f"user-{user_id}",
        NOW,
    )


async def add_key(world: World, kid: str, state: KeyState = KeyState.ACTIVE) -> None:
    await world.database.execute(
        """INSERT INTO keys (kid, purpose, algorithm, state, secret_key_id, created_at,
                             activates_at) VALUES ($1, $2, 'HMAC', $3, 'test', $4, $4)""",
        kid,
        KeyPurpose.MINT,
        state,
        NOW,
    )


async def entries(world: World) -> list[tuple[object, ...]]:
    """What is in the trust log: revision, kind, id, device id, effect and reason."""
    rows = await world.database.fetch(
        "SELECT revision, kind, id, device_id, effect, reason FROM trust_log ORDER BY revision"
    )
    return [tuple(row) for row in rows]


async def audited(world: World) -> list[str]:
    """The audit rows of revocations: action and target."""
    rows = await world.database.fetch(
        "SELECT action || ' ' || target FROM audit_log WHERE action LIKE 'revoke%' ORDER BY id"
    )
    return [row[0] for row in rows]


REISSUE = TrustEffect.REISSUE


@asynccontextmanager
async def holding(database: Database, sql: str, *args: object) -> AsyncIterator[Connection]:
    """Whatever locks `sql` takes are held within the block, and its changes commit at the end."""
    async with database.transaction() as conn:
        await conn.execute(sql, *args)
        yield conn


async def until_asked(database: Database) -> None:
    """Return once an exchange has looked at its row and let it be."""
    await _until_done(database, "%WITH found AS%")


async def until_let_be(database: Database, query: str = "ROLLBACK%") -> None:
    """Return once a transaction, or a statement like `query`, has found its row locked and let it
    be."""
    await _until_done(database, query)


async def _until_done(database: Database, query: str) -> None:
    asked = """SELECT FROM pg_stat_activity
               WHERE datname = current_database() AND state = 'idle'
                 AND query LIKE $1 AND query NOT LIKE '%pg_stat_activity%'"""

    async def has_been() -> bool:
        return await database.fetchrow(asked, query) is not None

    await until(has_been)


async def until_blocked(database: Database, count: int = 1) -> None:
    """Return once `count` statements wait for a lock in this database."""
    waiting = """SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    async with patience():
        while True:
            row = await database.fetchrow(waiting)
            if row is not None and row[0] >= count:
                return
