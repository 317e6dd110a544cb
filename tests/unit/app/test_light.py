"""The supervisor loads nothing that serves calls, and no server what draws tables."""

import subprocess
import sys

SERVING = ("argon2", "asyncpg", "cryptography", "grpc", "jwt", "redis", "tokenservice.v1")

PROGRAM = """
import sys
import token_service.__main__, token_service.cli.local.serving
import token_service.app.processes.supervisor
from token_service.config import load
load({"TOKEN_SERVICE_POSTGRES_DSN": "postgresql://db", "TOKEN_SERVICE_ISSUER": "here",
      "TOKEN_SERVICE_SECRET_KEYS": "k1:" + "A" * 43})
print(*sys.modules)
"""


def loaded_by(program: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return ended.stdout.split()


def test_a_server_goes_without_what_draws() -> None:
    served = (
        "import sys, token_service.__main__, token_service.cli.local.serving, "
        "token_service.app.processes.worker"
    )
    loaded = loaded_by(f"{served}; print(*sys.modules)")
    assert "structlog" in loaded
    assert [name for name in ("rich", "pygments") if name in loaded] == []


def test_a_server_goes_without_what_migrates() -> None:
    assert "token_service.adapters.postgres.migrate" not in loaded_by(
        "import sys, token_service.cli.local.serving, token_service.app.processes.alone, "
        "token_service.app.processes.worker, "
        "token_service.cli.doctor.command; print(*sys.modules)"
    )


def test_a_supervisor_goes_without_the_parts_of_a_server() -> None:
    loaded = loaded_by(PROGRAM)
    assert "token_service.app.processes.supervisor" in loaded
    assert [name for name in SERVING if name in loaded] == []


def test_help_goes_without_what_calls() -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from token_service.cli.main import app; "
        "shown = CliRunner().invoke(app, ['client', '--help']); assert 'register' in shown.output; "
        "print(*sys.modules)"
    )
    assert [name for name in SERVING if name in loaded_by(program)] == []
