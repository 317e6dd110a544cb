"""Whether a commit waits for a standby, as the session's own settings say."""

import asyncpg
import pytest

from token_service.adapters.postgres.replication import SYNCHRONOUS

ASK = f"SELECT {SYNCHRONOUS}"


async def test_without_a_name_no_commit_waits(dsn: str) -> None:
    conn = await asyncpg.connect(dsn)
    try:
        assert await conn.fetchval(ASK) is False
    finally:
        await conn.close()


@pytest.mark.parametrize(
    ("names", "commit", "synchronous"),
    [
        ("ANY 1 (a, b)", "on", True),
        ("*", "remote_apply", True),
        ("*", "remote_write", False),
        ("*", "local", False),
        ("*", "off", False),
        ("", "on", False),
        ("  ", "on", False),
    ],
)
async def test_names_and_the_sessions_own_level_decide(
    dsn: str, names: str, commit: str, synchronous: bool
) -> None:
    """`synchronous_standby_names` belongs to the whole server, so here a function stands in."""
    path = "told, pg_catalog"
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute(
            f"""CREATE SCHEMA told;
            CREATE FUNCTION told.current_setting(name text) RETURNS text LANGUAGE sql RETURN
                CASE name WHEN 'synchronous_standby_names' THEN '{names}'
                ELSE pg_catalog.current_setting(name) END"""
        )
        await conn.execute(f"SET search_path = {path}; SET synchronous_commit = {commit}")
        assert await conn.fetchval(ASK) is synchronous
    finally:
        await conn.close()
