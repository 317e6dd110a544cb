"""Which user a server runs as, and what that user can reach.

PostgreSQL refuses to run as root; started by root, it runs as the user `nobody`.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from token_service.adapters.embedded.errors import EmbeddedError


@dataclass(frozen=True, slots=True)
class Account:
    """A user and its primary group; it has no further groups."""

    uid: int
    gid: int


def server_account(cluster: Path) -> Account | None:
    """Return the user to become for the server on `cluster`; None keeps the current user.

    Data that already exists stays with its owner, so that a checkout used by a user and then by
    root works on. Raises EmbeddedError where the data belongs to somebody else.
    """
    owner = cluster.stat().st_uid if cluster.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise EmbeddedError(
                f"the data in {cluster} belong to user {owner}: "
                "start as that user or as root, or remove the data"
            )
        return None
    try:
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root, and there is no user 'nobody' to run it as"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def traversable(folder: Path, account: Account | None) -> bool:
    """Whether `account` (None: the current user) can pass through `folder` and all above it."""
    folder = folder.resolve()
    return account is None or all(
        _permits(step, account, stat.S_IXOTH) for step in (folder, *folder.parents)
    )


def make_passable(folder: Path) -> None:
    """Create `folder` and what is missing above it, open to all users whatever our umask is."""
    if not folder.exists():
        make_passable(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)


def reachable(file: Path, account: Account | None) -> bool:
    """Whether `account` (None: the current user) can get at `file` and read it."""
    return account is None or (
        traversable(file.parent, account) and _permits(file, account, stat.S_IROTH)
    )


def _permits(path: Path, account: Account, right: int) -> bool:
    """Apply the mode bits of `path` for the account; `right` is given as the bit for others."""
    status = path.stat()
    if status.st_uid == account.uid:
        right <<= 6
    elif status.st_gid == account.gid:
        right <<= 3
    return bool(status.st_mode & right)
