"""Exchanges that are finished with the id they were begun with."""

import pytest
from grpc import StatusCode

from tests.support.client_fakes import FakeService, FakeTime, refusal, unreachable
from tokenservice import (
    MemoryTokenStore,
    PendingExchange,
    SessionOver,
    StoredSession,
    StoredTokens,
    TokenServiceError,
    TokenStoreError,
    Unreachable,
)


@pytest.fixture
def service() -> FakeService:
    return FakeService(FakeTime())


class WatchedStore(MemoryTokenStore):
    """Remembers every state that was saved."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[StoredTokens | None] = []

    async def save(self, stored: StoredTokens | None) -> None:
        self.saved.append(stored)
        await super().save(stored)


async def begun(service: FakeService) -> tuple[StoredSession, WatchedStore]:
    store = WatchedStore()
    session = StoredSession(service.client, store)
    await session.start(await service.login_as_client())
    store.saved.clear()
    return session, store


async def test_the_id_is_kept_before_the_token_is_sent(service: FakeService) -> None:
    session, store = await begun(service)
    tokens = await session.exchange(audiences=["orders"])
    pending, done = store.saved
    assert pending is not None
    assert pending.pending is not None
    assert pending.tokens.session_token == "session-1.0"
    assert service.exchanges == [("session-1.0", pending.pending.exchange_id, ("orders",), ())]
    assert done == StoredTokens(tokens)
    assert tokens.session_token == "session-1.1"
    assert await session.tokens() == tokens


async def test_a_lost_reply_is_asked_for_again_with_the_same_id(service: FakeService) -> None:
    session, _ = await begun(service)
    service.lost = 2
    for _ in range(2):
        with pytest.raises(Unreachable):
            await session.exchange()
    tokens = await session.exchange()
    assert tokens.session_token == "session-1.1"
    assert tokens.replayed
    assert len({once for _, once, *_ in service.exchanges}) == 1


async def test_another_process_finishes_what_a_dead_one_began(service: FakeService) -> None:
    _, store = await begun(service)
    first = await store.load()
    assert first is not None
    once = b"0123456789abcdef"
    await service.exchange(first.tokens.session_token, exchange_id=once, audiences=(), scopes=())
    await store.save(StoredTokens(first.tokens, PendingExchange(once)))  # and then it died
    tokens = await StoredSession(service.client, store).exchange()
    assert (tokens.session_token, tokens.replayed) == ("session-1.1", True)


async def test_what_is_asked_for_now_comes_after_what_was_left(service: FakeService) -> None:
    session, _ = await begun(service)
    service.lost = 1
    with pytest.raises(Unreachable):
        await session.exchange(scopes=["orders.read"])
    tokens = await session.exchange(scopes=["orders.write"])
    assert tokens.session_token == "session-1.2"
    assert [(token, scopes) for token, _, _, scopes in service.exchanges] == [
        ("session-1.0", ("orders.read",)),
        ("session-1.0", ("orders.read",)),
        ("session-1.1", ("orders.write",)),
    ]


@pytest.mark.parametrize("reason", ["SCOPE_WIDENED", "AUDIENCE_NOT_ALLOWED", "FIELD_INVALID"])
async def test_what_cannot_be_had_is_not_asked_for_again(service: FakeService, reason: str) -> None:
    session, store = await begun(service)
    service.failures = [refusal(reason, StatusCode.PERMISSION_DENIED)]
    with pytest.raises(TokenServiceError, match=reason):
        await session.exchange(scopes=["everything"])
    stored = await store.load()
    assert stored is not None
    assert stored.pending is None
    assert (await session.exchange()).session_token == "session-1.1"


@pytest.mark.parametrize(
    "error",
    [
        unreachable(),
        refusal("RATE_LIMITED", StatusCode.RESOURCE_EXHAUSTED),
        refusal("CALLER_UNAUTHENTICATED"),
        refusal("BINDING_MISMATCH"),
        refusal("INTERNAL", StatusCode.INTERNAL),
        RuntimeError("the process has other troubles"),
    ],
)
async def test_nothing_else_lets_go_of_the_id(service: FakeService, error: Exception) -> None:
    session, _ = await begun(service)
    service.lost = 1
    with pytest.raises(Unreachable):
        await session.exchange()
    service.failures = [error]
    with pytest.raises(type(error)):
        await session.exchange()
    assert (await session.exchange()).session_token == "session-1.1"


async def test_a_session_that_is_over_is_forgotten(service: FakeService) -> None:
    session, store = await begun(service)
    service.over.add(1)
    with pytest.raises(TokenServiceError) as caught:
        await session.exchange()
    assert isinstance(caught.value, SessionOver)
    assert await store.load() is None
    with pytest.raises(TokenStoreError, match="log in"):
        await session.exchange()


async def test_a_logout_empties_the_store(service: FakeService) -> None:
    session, store = await begun(service)
    await session.forget()
    assert await store.load() is None
    assert await session.tokens() is None
