"""The data directory of an embedded server: its lock, its secret and its socket folder."""

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

from token_service.adapters.embedded.account import Account, traversable
from token_service.adapters.embedded.errors import EmbeddedError

_PREFIX = "tokensvc-"
_SOCKET_PATH_LIMIT = 107  # bytes, of a Unix socket's address
_NAME_RESERVE = 24  # bytes for the slash and the socket's file name


class DataDir:
    """A folder that one process at a time may use."""

    def __init__(self, path: Path) -> None:
        """`path` need not exist yet."""
        self.path = path.resolve()
        self._lock: int | None = None

    def acquire(self) -> None:
        """Create the folder and lock it; raises EmbeddedError where that cannot be."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Others may pass through (the server's user must reach its data), not list.
            self.path.chmod(0o711)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise EmbeddedError(f"cannot use {self.path}: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise EmbeddedError(
                f"{self.path} is in use by another process (pid {holder}): stop that one first, "
                "or choose another data directory"
            ) from None
        os.truncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    @property
    def locked(self) -> bool:
        """Whether `acquire` succeeded, and `release` was not called since."""
        return self._lock is not None

    def release(self) -> None:
        """Unlock; the folder stays."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def recall(self, name: str) -> str | None:
        """Return what `remember` kept under `name`, or None."""
        try:
            return (self.path / name).read_text().strip()
        except FileNotFoundError:
            return None

    def remember(self, name: str, text: str) -> None:
        """Keep a line in the folder, readable by its owner only; survives a crash whole."""
        scratch = self.path / f".{name}.new"
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text + "\n")
            out.flush()
            os.fsync(out.fileno())
        scratch.rename(self.path / name)

    def forget(self, name: str) -> None:
        """Drop what `remember` kept."""
        (self.path / name).unlink(missing_ok=True)


class SocketDir:
    """A short, private folder for a server's socket.

    Its name is drawn once, so that an address holds over a stop and a start of the same object.
    """

    def __init__(self, data: DataDir) -> None:
        """`data` remembers the folder, so that one left by a killed process is removed later."""
        self._data = data
        self._name = _PREFIX + secrets.token_hex(6)
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """The folder; raises EmbeddedError before the first `create`."""
        if self._path is None:
            raise EmbeddedError("the embedded server has not been started")
        return self._path

    def create(self, account: Account | None) -> None:
        """Create the folder for `account` (None: the current user) alone."""
        self._remove_left_over()
        if self._path is None:
            self._path = _short_folder(account) / self._name
        self._data.remember("socket-folder", str(self._path))
        self._path.mkdir(mode=0o700)
        if account is not None:
            os.chown(self._path, account.uid, account.gid)

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._data.forget("socket-folder")

    def _remove_left_over(self) -> None:
        text = self._data.recall("socket-folder")
        if text is None or not Path(text).name.startswith(_PREFIX):
            return
        with contextlib.suppress(FileNotFoundError):
            # Only a real folder, never what a link points to.
            if stat.S_ISDIR(Path(text).lstat().st_mode):
                shutil.rmtree(text)


def _short_folder(account: Account | None) -> Path:
    for folder in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp", "/run")):  # noqa: S108
        path = Path(folder).resolve()
        length = len(os.fsencode(path)) + 1 + len(_PREFIX) + 12 + _NAME_RESERVE
        writable = path.is_dir() and os.access(path, os.W_OK | os.X_OK)
        if length <= _SOCKET_PATH_LIMIT and writable and traversable(path, account):
            return path
    raise EmbeddedError("no temporary folder is short enough and open to the server's user")
