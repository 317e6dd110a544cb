"""The development mode: one command, everything real, kept over restarts, gone without a trace."""

import shutil
import signal
import stat
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.dev_server import (
    STOP_SECONDS,
    DevServer,
    banner_on_a_terminal,
    family_of,
    on_a_terminal,
    read_banner,
)
from tests.support.command_line import CommandLine
from tests.support.documents import GRPCURL
from tests.support.processes import wait_until_gone
from tests.support.servers import ROOT
from token_service.cli.calling import demo_file
from token_service.cli.local.snippets import Snippet, snippets

CLIENTS = {
    "demo-web",
    "demo-mobile",
    "demo-api",
    "demo-rolling",
    "demo-opaque",
    "demo-gateway",
    "demo-admin",
}

StartDev = Callable[..., DevServer]


@pytest.fixture(scope="module")
def folder(open_dir: Path) -> Iterator[Path]:
    """The data of the development servers of this module."""
    folder = open_dir / f"dev-{uuid.uuid4().hex}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(folder: Path) -> Iterator[StartDev]:
    """Start servers; those that still run at the end are killed."""
    started: list[DevServer] = []

    def start_one(**settings: str) -> DevServer:
        started.append(DevServer(folder, **settings))
        return started[-1]

    yield start_one
    for server in started:
        server.clean_up()


def secrets_of(server: DevServer) -> list[str]:
    demo = server.demo
    return [demo.user.password, *(client.client_secret for client in demo.clients.values())]


def pasted(server: DevServer, snippet: Snippet) -> str:
    """Paste a snippet into a shell; what it printed."""
    assert snippet.text in server.banner
    environment = CommandLine(server.folder).process_environment()
    del environment["TOKEN_SERVICE_DATA_DIR"]  # the snippets say where the data are
    if GRPCURL is not None:
        environment["PATH"] += f":{Path(GRPCURL).parent}"
    result = subprocess.run(
        ["/bin/sh", "-c", snippet.text],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_everything_is_there_after_one_command_and_gone_after_ctrl_c(start: StartDev) -> None:
    server = start().ready()
    path = server.folder / demo_file.FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((server.folder / "secret_keys").stat().st_mode) == 0o600
    assert set(server.demo.clients) == CLIENTS
    assert server.demo.user.username == "alice"
    assert server.demo.grpc in server.banner
    assert not server.demo.grpc.endswith(":0")
    # What is redirected is kept, so no secret is in it.
    assert not [secret for secret in secrets_of(server) if secret in server.banner + server.log]

    own, python, grpcurl, buf = snippets(server.demo.grpc, server.folder)
    assert pasted(server, own).split()[:2] == ["verdict", "active"]
    assert "TokenKind.WEB_SESSION" in pasted(server, python)
    assert "TOKEN_KIND_WEB_SESSION" in pasted(server, buf)
    if GRPCURL is not None:
        assert "TOKEN_KIND_WEB_SESSION" in pasted(server, grpcurl)

    healthy = server.command_line.run_apart("doctor")
    assert healthy.code == 0, healthy
    family = server.family()
    assert len(family) > 3
    assert server.interrupt() == 0
    wait_until_gone(family)


def test_a_later_start_keeps_sessions_and_credentials(start: StartDev) -> None:
    first = start().ready()
    former = first.demo
    session = first.command_line.ok("token", "issue", "--user", "alice", "--only", "session")
    family = first.family()
    assert first.terminate() == 0
    wait_until_gone(family)

    second = start().ready()
    now = second.demo
    assert replace(now, grpc=former.grpc, postgres=former.postgres, redis=former.redis) == former
    access = second.command_line.ok("token", "exchange", "--only", "access", stdin=session)
    assert "active" in second.command_line.ok("token", "validate", stdin=access)


def test_a_second_start_on_the_same_data_is_refused_and_harms_nobody(start: StartDev) -> None:
    first = start().ready()
    code, log = start().failure()
    assert code == 2
    assert f"{first.folder} is in use by another process (pid {first.process.pid})" in log
    assert first.command_line.run("keys", "list").code == 0


def test_nothing_is_left_of_a_killed_server_and_the_next_one_starts(start: StartDev) -> None:
    server = start().ready()
    family = server.family()
    assert len(family) > 3
    server.kill()
    wait_until_gone(family)
    again = start().ready()
    assert again.command_line.run("keys", "list").code == 0


def test_a_server_that_is_stopped_while_it_starts_leaves_nothing(start: StartDev) -> None:
    server = start()
    while len(family := server.family()) < 4:  # the stores are up, or nearly
        assert server.process.poll() is None, server.log
        time.sleep(0.02)
    assert server.terminate() != 0
    wait_until_gone(family)
    assert "Traceback" not in server.log


def test_the_folder_of_somebody_elses_stores_is_not_touched(start: StartDev) -> None:
    strangers = {"postgres_dsn": "postgres://production", "redis_url": "redis://production"}
    server = start(**strangers, secret_keys="nonsense").ready()
    assert server.command_line.run("keys", "list").code == 0


def test_a_person_on_a_terminal_sees_the_credentials(start: StartDev, folder: Path) -> None:
    banner = banner_on_a_terminal(folder, {"grpc_listen": "127.0.0.1:0", "drain_delay": "0"})
    demo = demo_file.read(folder)
    assert demo is not None
    shown = [demo.user.password, *(client.client_secret for client in demo.clients.values())]
    assert [secret for secret in shown if secret not in banner] == []


def test_a_terminal_that_closes_stops_everything_in_order(folder: Path) -> None:
    with on_a_terminal(folder, {"grpc_listen": "127.0.0.1:0"}) as (process, terminal):
        read_banner(terminal)
        family = family_of(process.pid)
        assert len(family) > 3
        terminal.close()
        process.send_signal(signal.SIGHUP)  # a shell does it, too
        assert process.wait(STOP_SECONDS) == 0
    wait_until_gone(family)
    log = (folder / "postgres" / "server.log").read_text()
    assert log.rstrip().endswith("database system is shut down")
    assert not (folder / "valkey" / "socket-folder").exists()


def test_lost_credentials_are_made_anew(start: StartDev, folder: Path) -> None:
    former = demo_file.read(folder)
    assert former is not None
    (folder / demo_file.FILE_NAME).unlink()
    server = start().ready()
    assert server.demo.user.password != former.user.password
    assert server.command_line.run("token", "issue", "--user", "alice").code == 0


def test_data_without_their_secret_keys_are_not_overwritten(start: StartDev, folder: Path) -> None:
    path = folder / "secret_keys"
    kept = path.read_bytes()
    path.unlink()
    code, log = start().failure()
    assert code == 2
    assert "secret_keys is missing" in log
    assert not path.exists()
    path.write_bytes(kept)
