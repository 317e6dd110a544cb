"""The other floor: pgbench with the statement of an exchange."""

import asyncio
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from token_service.adapters.embedded.binaries import postgres_bin
from token_service.adapters.postgres.sessions import sql as session_sql

_LOOKUP = "('00000000-0000-4000-8000-' || lpad(to_hex((:id)::bigint), 12, '0'))::uuid"
_TEXT = "'a text of an audit row'"
_VALUES = {
    1: f"ARRAY[{_LOOKUP}]",
    2: "ARRAY[:generation]",
    3: "ARRAY[:kid]",
    4: "ARRAY['\\x00'::bytea]",
    5: "ARRAY['\\x00'::bytea]",
    6: f"ARRAY[{_TEXT}]",
    7: f"ARRAY[{_TEXT}]",
    8: "'demo-web'",
    9: "''",
    10: "'{}'",
    11: "'{}'",
    12: "'{orders,billing,token-service}'",
    13: "'{billing.read,orders.read,orders.write}'",
    14: "'{1800,2592000,86400}'",
    15: ":kid",
    16: "clock_timestamp()",
    17: ":config_version",
    **dict.fromkeys((18, 19, 20), _TEXT),
    21: "(SELECT epoch FROM trust_head)",
}


@dataclass(frozen=True, slots=True)
class Range:
    """Sessions that nobody else exchanges: from `first`, `stride` for each of `clients`."""

    first: int
    stride: int
    clients: int


def script(sessions: Range) -> str:
    """Each client exchanges its own sessions in turn, so that it knows their generations."""
    statement = re.sub(
        r"\$(\d+)", lambda found: _VALUES[int(found[1])], session_sql.ADVANCE_PLAINLY.strip()
    )
    return (
        "\\set n :n + 1\n"
        f"\\set id {sessions.first} + :client_id * {sessions.stride} + :n % {sessions.stride}\n"
        f"\\set generation 1 + :n / {sessions.stride}\n"
        f"{statement};\n"
    )


def tps(dsn: str, folder: Path, *, sessions: Range, seconds: int, mint_kid: str) -> float:
    """Exchanges per second. Raises RuntimeError when one failed or did nothing."""
    path = folder / "exchange.pgbench"
    path.write_text(script(sessions))
    parts = urlsplit(dsn)
    environment = {
        **os.environ,
        "PGHOST": parse_qs(parts.query)["host"][0],
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": parts.path.lstrip("/"),
    }
    version, before = asyncio.run(_state(dsn, sessions))
    command = [str(postgres_bin() / "pgbench"), "-n", "-M", "prepared", "-f", str(path)]
    command += ["-c", str(sessions.clients), "-j", "1", "-T", str(seconds)]
    command += ["-D", f"kid={mint_kid}", "-D", f"config_version={version}", "-D", "n=-1"]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=seconds + 60
    )
    found = re.search(r"tps = ([0-9.]+)", result.stdout)
    done = re.search(r"number of transactions actually processed: (\d+)", result.stdout)
    if result.returncode or found is None or done is None:
        raise RuntimeError(f"pgbench failed: {result.stderr[-2000:]}")
    exchanged = asyncio.run(_state(dsn, sessions))[1] - before
    if exchanged != int(done[1]):
        raise RuntimeError(f"pgbench: {exchanged} of {done[1]} statements exchanged a session")
    return float(found[1])


async def _state(dsn: str, sessions: Range) -> tuple[int, int]:
    """The configuration version, and how often the sessions have been exchanged."""
    last = sessions.first + sessions.stride * sessions.clients - 1
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        version = await conn.fetchval("SELECT config_version FROM trust_head")
        exchanged = await conn.fetchval(
            "SELECT COALESCE(sum(generation - 1), 0) FROM sessions "
            "WHERE lookup_id BETWEEN $1 AND $2",
            *(f"00000000-0000-4000-8000-{number:012x}" for number in (sessions.first, last)),
        )
        return int(version), int(exchanged)
    finally:
        await conn.close(timeout=10)
