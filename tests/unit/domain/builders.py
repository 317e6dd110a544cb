"""Records with sensible contents, for tests of pure decisions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.kinds import Amr, ClientState, Platform, TokenKind
from token_service.domain.sessions.exchange import Presented
from token_service.domain.sessions.exchange_fingerprint import (
    Purpose,
    fingerprint,
    former_fingerprint,
)
from token_service.domain.sessions.session import Device, Session, SessionView

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
LOOKUP = UUID("00000000-0000-4000-8000-00000000000a")
EXCHANGE_ID = bytes(range(16))


def session(**changes: Any) -> Session:
    """A web session of generation 5, rotated a minute ago, with two audiences and scopes."""
    made = Session(
        session_id=UUID("00000000-0000-4000-8000-000000000001"),
        lookup_id=LOOKUP,
        kind=TokenKind.WEB_SESSION,
        platform=Platform.WEB,
        client_id="shop-web",
        user_id=UUID("00000000-0000-4000-8000-0000000000ff"),
        generation=5,
        mint_kid="0000000a",
        exchange_hash=None,
        rev=10,
        acr=1,
        amr=Amr.PWD,
        auth_time=NOW - timedelta(hours=1),
        created_at=NOW - timedelta(hours=1),
        rotated_at=NOW - timedelta(minutes=1),
        last_active_at=NOW - timedelta(minutes=1),
        idle_seconds=1800,
        idle_expires_at=NOW + timedelta(minutes=29),
        absolute_expires_at=NOW + timedelta(hours=11),
        audiences=("billing", "orders"),
        scopes=("billing.read", "orders.read"),
        roles=("buyer",),
        device=Device(),
    )
    return replace(made, **changes)


def view(of: Session | None = None, **changes: Any) -> SessionView:
    """A reading in which everything allows the session."""
    made = SessionView(
        session=of or session(),
        client_state=ClientState.ACTIVE,
        client_valid_rev=0,
        policy=ClientPolicy(
            platforms=frozenset({Platform.WEB}),
            audiences=("billing", "orders"),
            scopes=frozenset({"billing.read", "orders.read", "orders.write"}),
        ),
        global_valid_rev=0,
        config_version=3,
        head_revision=12,
        mint_compromised=False,
        user_version=1,
        user_roles=("buyer",),
        user_scopes=frozenset({"billing.read", "orders.read", "orders.write"}),
    )
    return replace(made, **changes)


def presented(generation: int = 5, exchange_id: bytes = b"", **changes: Any) -> Presented:
    """The token of `generation`, presented by its own client."""
    made = Presented(
        lookup_id=LOOKUP,
        generation=generation,
        mint_kid="0000000a",
        client_id="shop-web",
        exchange_id=exchange_id,
    )
    return replace(made, **changes)


def exchanged(
    generation: int,
    exchange_id: bytes = EXCHANGE_ID,
    purpose: Purpose = Purpose.EXCHANGE,
    **changes: Any,
) -> Session:
    """The session once the token of `generation` was exchanged, a minute ago."""
    made_by = fingerprint(purpose, exchange_id, LOOKUP, generation, "shop-web")
    return session(generation=generation + 1, exchange_fingerprint=made_by, **changes)


def exchanged_by_a_former_node(
    generation: int,
    exchange_id: bytes = EXCHANGE_ID,
    purpose: Purpose = Purpose.EXCHANGE,
    audiences: tuple[str, ...] = (),
    scopes: tuple[str, ...] = (),
) -> Session:
    """The same, by a node of the previous version. It leaves the fingerprint as it was."""
    token = (exchange_id, LOOKUP, generation, "shop-web")
    return session(
        generation=generation + 1,
        exchange_hash=former_fingerprint(purpose, *token, audiences=audiences, scopes=scopes),
        exchange_fingerprint=fingerprint(purpose, exchange_id, LOOKUP, generation - 1, "shop-web"),
    )
