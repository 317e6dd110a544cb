"""Clients as rows of the store, and what became of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.integration.postgres_world import (
    NOW,
    POLICY,
    World,
    event,
)
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.domain.clients.client import Client, ClientSecret
from token_service.domain.kinds import (
    ClientState,
    Permission,
)

LATER = NOW + timedelta(hours=1)
OVERLAP = LATER + timedelta(hours=24)
WIDE = replace(
    POLICY,
    permissions=frozenset({Permission.TOKENS_ISSUE}),
    may_issue_for=frozenset({"shop"}),
    access_lifetime=timedelta(minutes=20),
)


def client(**changes: Any) -> Client:
    """A registration."""
    given = Client(
        client_id="billing-7f3a",
        name="Billing",
        contact="billing@example.com",
        state=ClientState.PENDING,
        policy=WIDE,
        valid_rev=0,
        registered_by="ops",
        reviewed_by="",
        review_note="",
        created_at=NOW,
        updated_at=NOW,
        registration_hash=b"registration hash",
        registration_pepper="0badcafe",
    )
    return replace(given, **changes)


def secret(name: str, **changes: Any) -> ClientSecret:
    return replace(ClientSecret(name.encode(), "0badcafe", NOW, None, None), **changes)


async def put(
    clients: ClientStore,
    one: ClientSecret,
    request: str,
    old_expires_at: datetime | None = None,
    client_id: str = "billing-7f3a",
    at: datetime = LATER,
) -> bool:
    audit = replace(event("client.put_secret", client_id), at=at)
    return await clients.put_secret(
        client_id, one, request.encode(), old_expires_at=old_expires_at, audit=audit
    )


async def approved(clients: ClientStore, **changes: Any) -> str:
    """A client that was approved just now."""
    one = client(**changes)
    assert await clients.insert(one, event("client.register"))
    audit = replace(event("client.review"), actor="reviewer")
    assert await clients.review(one.client_id, ClientState.APPROVED, None, "fine", audit)
    return one.client_id


async def get(clients: ClientStore, client_id: str = "billing-7f3a") -> Client:
    found = await clients.get(client_id)
    assert found is not None
    return found[0]


async def names(clients: ClientStore) -> set[bytes]:
    return {one.secret_hash for one in (await get(clients)).secrets}


async def config_version(world: World) -> int:
    return int(await world.value("SELECT config_version FROM trust_head"))


async def longest_access(world: World) -> timedelta:
    longest: timedelta = await world.value("SELECT longest_access FROM trust_head")
    return longest


async def entries(world: World) -> list[Sequence[object]]:
    rows = await world.database.fetch(
        "SELECT revision, kind, id, effect, reason FROM trust_log ORDER BY revision"
    )
    return [tuple(row) for row in rows]


async def actions(world: World) -> list[str]:
    rows = await world.database.fetch("SELECT action FROM audit_log ORDER BY id")
    return [row["action"] for row in rows if row["action"] != "issue"]
