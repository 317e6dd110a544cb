"""The other floor: pgbench with the statements of an exchange."""

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from token_service.adapters.embedded.binaries import postgres_bin
from token_service.adapters.postgres import session_sql

_VALUES = {
    1: ":v_session_id",
    2: ":v_generation",
    3: ":kid",
    4: "'\\x00'",
    5: "clock_timestamp()",
    6: "1800",
    7: "(clock_timestamp() + interval '30 days')",
    8: "'{sales}'",
    9: ":v_config_version",
    10: ":v_user_version",
    **dict.fromkeys((11, 12, 13), "NULL"),
    14: "clock_timestamp()",
    **dict.fromkeys(range(15, 23), "'a text of an audit row'"),
}
_LOOKUP = "('00000000-0000-4000-8000-' || lpad(to_hex((:id)::bigint), 12, '0'))::uuid"


def script(first: int, last: int) -> str:
    """An exchange of a random session, with the statements that the service uses."""
    view = session_sql.VIEW.strip().replace("$1", _LOOKUP)
    advance = re.sub(r"\$(\d+)", lambda found: _VALUES[int(found[1])], session_sql.ADVANCE.strip())
    return f"\\set id random({first}, {last})\n{view}\n\\gset v_\n{advance};\n"


def tps(dsn: str, folder: Path, *, clients: int, seconds: int, text: str, mint_kid: str) -> float:
    """Exchanges per second. Raises RuntimeError when one failed."""
    path = folder / "exchange.pgbench"
    path.write_text(text)
    parts = urlsplit(dsn)
    environment = {
        **os.environ,
        "PGHOST": parse_qs(parts.query)["host"][0],
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": parts.path.lstrip("/"),
    }
    command = [str(postgres_bin() / "pgbench"), "-n", "-M", "prepared", "-f", str(path)]
    command += ["-c", str(clients), "-j", "1", "-T", str(seconds), "-D", f"kid={mint_kid}"]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=seconds + 60
    )
    found = re.search(r"tps = ([0-9.]+)", result.stdout)
    failed = re.search(r"number of failed transactions: (\d+)", result.stdout)
    if result.returncode or found is None or (failed and failed[1] != "0"):
        raise RuntimeError(f"pgbench failed: {result.stderr[-2000:]}")
    return float(found[1])
