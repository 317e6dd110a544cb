"""SQL as a superuser from tests that have no connection of their own."""

import subprocess

from token_service.adapters.embedded import binaries
from token_service.adapters.embedded.process import child_environment


def run_psql(statement: str, *, host: str, port: int, password: str) -> str:
    """Run a statement in the database `postgres`; what psql prints. Raises where it fails."""
    command = [str(binaries.postgres_bin() / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1"]
    command += ["-h", host, "-p", str(port), "-U", "postgres", "-d", "postgres"]
    result = subprocess.run(
        command,
        input=statement,
        capture_output=True,
        text=True,
        check=False,
        env={**child_environment(), "PGPASSWORD": password, "PGCONNECT_TIMEOUT": "10"},
    )
    if result.returncode:
        raise RuntimeError(f"psql: {result.stderr.strip()}")
    return result.stdout.strip()
