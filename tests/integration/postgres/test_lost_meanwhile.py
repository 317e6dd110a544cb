"""A connection that is lost at the worst moment: the driver's pool has let go of it already."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.waiting import PATIENCE
from token_service.adapters.postgres.pool import Database
from token_service.domain.errors import Reason, TokenServiceError


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    opened = await Database.open(dsn, size=1, call_timeout=PATIENCE)
    yield opened
    await opened.close()


async def _refused(database: Database, asked: Any) -> None:
    with pytest.raises(TokenServiceError) as refusal:
        await database._call(asked)
    assert refusal.value.reason is Reason.STORE_UNAVAILABLE
    assert await database.fetch("SELECT 1")


async def test_together_with_the_end_of_the_time_limit(database: Database) -> None:
    async def asked(conn: Any, _: float) -> None:
        conn._con.terminate()
        raise TimeoutError

    await _refused(database, asked)


async def test_right_after_the_answer(database: Database) -> None:
    """Whether that answer was confirmed by a standby cannot be told any more."""

    async def asked(conn: Any, _: float) -> str:
        conn._con.unconfirmed = True
        conn._con.terminate()
        return "done"

    await _refused(database, asked)
