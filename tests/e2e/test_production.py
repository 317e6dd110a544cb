"""The documented way into production, from an empty database to the first gateway."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.support.certificates import issue
from tests.support.documents import OPERATIONS, Block, blocks
from tests.support.ports import fixed_port
from tests.support.servers import ROOT
from token_service.adapters.embedded import EmbeddedPostgres

FOLDER = "/etc/token-service"
LISTEN = "0.0.0.0:443"
SERVER = "tokens.example.com:443"
STOP_SECONDS = 60.0


@dataclass
class Machine:
    """What the documents suppose: a folder with secrets, the programs, a database, a Redis."""

    folder: Path
    environment: dict[str, str]
    metrics: str

    def shell(self, block: Block, **replaced: str) -> "subprocess.Popen[str]":
        """The block in a shell; what its programs print can be read."""
        code = block.code.replace(FOLDER, str(self.folder))
        for text, other in replaced.items():
            assert text in code
            code = code.replace(text, other)
        return subprocess.Popen(
            ["/bin/sh", "-ec", code],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )


@pytest.fixture
def machine(open_dir: Path, redis_url: str, tmp_path: Path) -> Iterator[Machine]:
    """The database is empty and, as in production, one that loses nothing."""
    authority = issue("authority")
    server = issue("server", authority)
    with EmbeddedPostgres(open_dir / "production") as postgres:
        files = {
            "postgres_dsn": postgres.create_database("in_production").encode(),
            "redis_url": redis_url.encode(),
            "tls.crt": server.certificate,
            "tls.key": server.key,
            "ca.pem": authority.certificate,
        }
        for name, content in files.items():
            path = tmp_path / name
            path.write_bytes(content)
            path.chmod(0o600)
        metrics = f"127.0.0.1:{fixed_port()}"
        others = {name: text for name, text in os.environ.items() if "TOKEN_SERVICE" not in name}
        environment = {
            **others,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TOKEN_SERVICE_METRICS_LISTEN": metrics,
            "TOKEN_SERVICE_CA_FILE": str(tmp_path / "ca.pem"),
        }
        yield Machine(tmp_path, environment, metrics)


def address_of(serving: "subprocess.Popen[str]") -> tuple[str, str]:
    """Where it serves, and what was printed before."""
    printed = ""
    assert serving.stdout is not None
    for line in serving.stdout:
        printed += line
        if line.startswith("{") and json.loads(line)["event"] == "serving":
            return json.loads(line)["address"], printed
    raise AssertionError(printed)


def test_from_an_empty_database_to_a_gateway(machine: Machine) -> None:
    [production], [administration] = (
        blocks(OPERATIONS, one) for one in ("production", "administration")
    )
    assert production.code.rstrip().endswith("\ntoken-service serve")
    serving = machine.shell(production, **{LISTEN: "127.0.0.1:0"})
    try:
        address, printed = address_of(serving)
        secrets = {name: (machine.folder / name).read_text() for name in ("ana", "ben")}
        assert all(secret.startswith("tsk_cs_") for secret in secrets.values())
        assert not any(secret.strip() in printed for secret in secrets.values())

        administering = machine.shell(administration, **{SERVER: address})
        told, _ = administering.communicate(timeout=STOP_SECONDS)
        assert administering.returncode == 0, told
        assert re.search(r"^client_secret +tsk_cs_", told, re.MULTILINE), told

        [audit] = blocks(OPERATIONS, "audit")
        rows = asyncio.run(fetch((machine.folder / "postgres_dsn").read_text(), audit.code))
        assert ("ben", "client.review") in {(row["actor"], row["action"]) for row in rows}
        metrics = httpx.get(f"http://{machine.metrics}/metrics").text
        assert {name for name in named_metrics() if f"# TYPE {name} " not in metrics} == {
            "token_service_workers",  # there is one
            "token_service_worker_deaths_total",
        }
        for path, _ in probes():
            assert httpx.get(f"http://{machine.metrics}{path}").status_code == 200
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        rest, _ = serving.communicate(timeout=STOP_SECONDS)
    assert "Traceback" not in rest


async def fetch(dsn: str, sql: str) -> list[asyncpg.Record]:
    """What a statement of the document answers."""
    conn = await asyncpg.connect(dsn.strip())
    try:
        return await conn.fetch(sql)
    finally:
        await conn.close()


def named_metrics() -> set[str]:
    """The metrics that the document tells of."""
    return set(re.findall(r"`(token_service_\w+)`", (ROOT / OPERATIONS).read_text()))


def probes() -> list[tuple[str, str]]:
    """Path and port of each probe that the document configures."""
    [block] = blocks(OPERATIONS, "probes")
    found = re.findall(r"httpGet: \{path: (\S+), port: (\d+)\}", block.code)
    assert len(found) == block.code.count("Probe:")
    return found
