"""Removing what is over, as tests ask for it."""

from datetime import datetime

from token_service.adapters.postgres.removal import Removal


async def removed(removal: Removal, now: datetime, limit: int = 100) -> int:
    """How many rows one batch removed that nobody else was at."""
    batch = await removal(now, limit)
    assert batch is not None
    return batch.removed
