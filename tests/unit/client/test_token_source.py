"""A token that is always good: refreshed early, once for all, with the real reason when not."""

import asyncio
from typing import Any

import pytest

from tests.support.client_fakes import (
    LIFETIME,
    FakeService,
    FakeTime,
    half,
    refusal,
    token_set,
    unreachable,
)
from tokenservice import MemoryTokenStore, StoredTokens, TokenServiceError, TokenSource, Unreachable
from tokenservice._outgoing.server_time import ServerTime
from tokenservice._outgoing.token_source import MARGIN
from tokenservice.core import AnchoredClock
from tokenservice.core.tokens import encoding

DUE = LIFETIME * 0.75
"""Seconds until a refresh, with randomness in the middle."""


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def service(time: FakeTime) -> FakeService:
    return FakeService(time)


def source_of(service: FakeService, **options: Any) -> TokenSource:
    options = {"time": service.time.server_time(), "random": half, **options}
    return TokenSource(service.client, "orders", scopes=["orders.read"], **options)


async def settled(source: TokenSource) -> None:
    """Let the refresh that is under way end."""
    while source._refresh is not None:
        await asyncio.sleep(0)


async def test_it_logs_in_once_and_exchanges_when_due(time: FakeTime, service: FakeService) -> None:
    source = source_of(service)
    assert source.current() is None
    assert await source.token() == "access-1.0"
    time.now += DUE - 1
    assert await source.token() == source.current() == "access-1.0"
    assert service.exchanges == []
    time.now += 2
    assert source.current() is None
    assert await source.token() == "access-1.0"  # still good while the next is fetched
    await settled(source)
    assert await source.token() == "access-1.1"
    assert service.logins == 1
    assert [(token, *asked) for token, _, *asked in service.exchanges] == [
        ("session-1.0", ("orders",), ("orders.read",))
    ]


@pytest.mark.parametrize(("drawn", "part"), [(0.0, 0.8), (0.999, 0.7)])
async def test_refreshes_of_many_programs_are_spread(
    time: FakeTime, service: FakeService, drawn: float, part: float
) -> None:
    source = source_of(service, random=lambda: drawn)
    await source.token()
    time.now += LIFETIME * part - 1
    assert source.current() is not None
    time.now += 2
    assert source.current() is None


async def test_callers_share_one_refresh(time: FakeTime, service: FakeService) -> None:
    source = source_of(service)
    service.gate.clear()
    callers = [asyncio.create_task(source.token()) for _ in range(20)]
    await asyncio.sleep(0)
    callers[0].cancel()  # one that gives up spoils nothing for the rest
    service.gate.set()
    tokens = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(tokens[0], asyncio.CancelledError)
    assert tokens[1:] == ["access-1.0"] * 19
    assert service.logins == 1
    time.now += LIFETIME
    assert await asyncio.gather(*(source.token() for _ in range(20))) == ["access-1.1"] * 20
    assert len(service.exchanges) == 1


async def test_the_real_reason_is_raised_once_the_old_token_is_over(
    time: FakeTime, service: FakeService
) -> None:
    source = source_of(service)
    await source.token()
    time.now += DUE + 1
    service.failures = [unreachable()] * 3
    assert await source.token() == "access-1.0"
    await settled(source)
    assert await source.token() == "access-1.0"
    time.now += LIFETIME
    with pytest.raises(Unreachable, match="nobody answered"):
        await source.token()
    service.failures.clear()
    time.now += 60
    assert await source.token() == "access-1.1"


async def test_a_refresh_that_failed_is_not_hammered(time: FakeTime, service: FakeService) -> None:
    source = source_of(service)
    service.failures = [unreachable()] * 9
    for _ in range(50):
        with pytest.raises(Unreachable):
            await source.token()
    assert len(service.failures) == 8
    for _ in range(3):
        time.now += 20
        with pytest.raises(Unreachable):
            await source.token()
    assert len(service.failures) == 5


async def test_a_lost_reply_costs_neither_session_nor_login(
    time: FakeTime, service: FakeService
) -> None:
    source = source_of(service)
    await source.token()
    time.now += LIFETIME
    service.lost = 1
    with pytest.raises(Unreachable):
        await source.token()
    time.now += 60
    assert await source.token() == "access-1.1"
    assert service.logins == 1


@pytest.mark.parametrize("reason", ["TOKEN_REUSED", "TOKEN_EXPIRED", "SCOPE_WIDENED"])
async def test_a_session_that_is_no_use_is_followed_by_a_login(
    time: FakeTime, service: FakeService, reason: str
) -> None:
    source = source_of(service)
    await source.token()
    time.now += LIFETIME
    service.failures = [refusal(reason)]
    assert await source.token() == "access-2.0"


async def test_a_client_that_may_not_log_in_hears_why(service: FakeService) -> None:
    service.failures = [refusal("CALLER_UNAUTHENTICATED")]
    with pytest.raises(TokenServiceError, match="CALLER_UNAUTHENTICATED"):
        await source_of(service).token()


async def test_a_refused_token_is_replaced_once(service: FakeService) -> None:
    source = source_of(service)
    token = await source.token()
    source.rejected(token)
    assert source.current() is None
    assert await source.token() == "access-1.1"
    source.rejected(token)  # by a slower caller, about the token of before
    assert await source.token() == "access-1.1"
    assert len(service.exchanges) == 1


async def test_programs_with_one_store_share_the_session(
    time: FakeTime, service: FakeService
) -> None:
    store = MemoryTokenStore()
    one, two = (source_of(service, store=store) for _ in range(2))
    assert await one.token() == await two.token() == "access-1.0"
    time.now += LIFETIME
    assert await one.token() == "access-1.1"
    assert await two.token() == "access-1.1"
    assert (service.logins, len(service.exchanges)) == (1, 1)
    one.rejected("access-1.1")
    assert await one.token() == "access-1.2"


async def test_a_stored_token_that_is_over_is_exchanged(
    time: FakeTime, service: FakeService
) -> None:
    store = MemoryTokenStore()
    tokens = await service.login_as_client()
    await store.save(StoredTokens(tokens))
    time.now += LIFETIME - MARGIN + 0.1
    assert await source_of(service, store=store).token() == "access-1.1"


async def test_any_other_trouble_is_raised_and_mended(service: FakeService) -> None:
    class Broken(MemoryTokenStore):
        async def load(self) -> StoredTokens | None:
            raise OSError("the disk is gone")

    source = source_of(service, store=Broken())
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            await source.token()


async def test_closing_ends_a_refresh(service: FakeService) -> None:
    async with source_of(service) as source:
        service.gate.clear()
        waiting = asyncio.create_task(source.token())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="closed"):
        await waiting


def _jwt(issued_at: float) -> str:
    claims = encoding.encode_base64url(f'{{"iat":{int(issued_at)}}}'.encode())
    return f"e30.{claims}.c2ln"


@pytest.mark.parametrize("wrong", [-3600.0, 3600.0])
async def test_a_wall_clock_that_is_wrong_does_no_harm(time: FakeTime, wrong: float) -> None:
    server = FakeService(time)
    known = server._tokens

    def tokens(session: int) -> Any:
        made = known(session)
        text = _jwt(time.now) + "x" * server._current[session]  # each generation another
        (access,) = made.access_tokens
        object.__setattr__(access, "token", text)
        return made

    server._tokens = tokens  # type: ignore[method-assign] # as the service would make them
    mine = ServerTime(lambda: time.now + wrong, AnchoredClock(time))
    source = source_of(server, time=mine)
    first = await source.token()
    for _ in range(10):
        time.now += DUE / 11
        assert source.current() == first
    time.now += LIFETIME
    assert await source.token() != first
    assert (server.logins, len(server.exchanges)) == (1, 1)


def test_tokens_that_do_not_tell_leave_the_wall_clock() -> None:
    time = FakeTime()
    clock = ServerTime(lambda: 5.0, AnchoredClock(time))
    clock.learn(token_set(1, 0, time.now), time.now)
    assert clock.now() == 5.0


def test_no_repr_shows_a_token() -> None:
    assert repr(source_of(FakeService(FakeTime()))) == "TokenSource('orders')"
