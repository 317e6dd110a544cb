"""A session's tokens in a file that only its owner can read (mode 0600)."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tokenservice._sessions.token_store import PendingExchange, StoredTokens, TokenStoreError
from tokenservice._values import AccessToken, TokenSet
from tokenservice.core import AccessFormat, TokenKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VERSION: Final = 1
_OWNER_ONLY: Final = 0o600
_OTHERS: Final = 0o077
_LOCK_POLL: Final = 0.02  # seconds


class FileTokenStore:
    """Keeps one session's tokens at ``path``, for any number of processes on this machine (POSIX).

    The file is replaced as a whole and synced to the disk, so that a crash leaves the old or the
    new one. Next to it lie ``<name>.lock`` and, for moments, ``<name>.new``. Its folder must
    exist and be on a local disk. Raises TokenStoreError for a file that others may read or that
    holds something else, and OSError.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def __repr__(self) -> str:
        return f"FileTokenStore({str(self._path)!r})"

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the store; the kernel lets go of it when the process dies."""
        import fcntl  # POSIX alone has it

        descriptor = os.open(
            self._path.with_name(self._path.name + ".lock"),
            os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW,
            _OWNER_ONLY,
        )
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(_LOCK_POLL)
            yield
        finally:
            os.close(descriptor)

    # Reading and writing block the loop for the milliseconds that a disk takes. In a thread, a
    # write could outlive its cancelled caller, and the lock with it.

    async def load(self) -> StoredTokens | None:
        """Give what was saved last."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_mode & _OTHERS:
                raise TokenStoreError(f"{self._path} is not a file that only its owner can read")
            data = file.read()
        return self._decoded(data)

    async def save(self, stored: StoredTokens | None) -> None:
        """Replace the file, or remove it."""
        if stored is None:
            self._path.unlink(missing_ok=True)
        else:
            self._replace(_encode(stored))
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _replace(self, data: bytes) -> None:
        new = self._path.with_name(self._path.name + ".new")
        new.unlink(missing_ok=True)  # of a process that died
        descriptor = os.open(
            new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _OWNER_ONLY
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            new.replace(self._path)
        except BaseException:
            with suppress(FileNotFoundError):
                new.unlink()
            raise

    def _decoded(self, data: bytes) -> StoredTokens:
        try:
            return _decode(json.loads(data))
        except (ValueError, LookupError, TypeError, OverflowError):
            # "from None": the parser's exception holds the whole file.
            raise TokenStoreError(f"{self._path} does not hold tokens of this version") from None


def _encode(stored: StoredTokens) -> bytes:
    pending = stored.pending
    document = {
        "version": VERSION,
        "tokens": asdict(stored.tokens),
        "pending": pending and asdict(pending) | {"exchange_id": pending.exchange_id.hex()},
    }
    return json.dumps(document, default=datetime.timestamp).encode()  # times as Unix seconds


def _decode(document: dict[str, Any]) -> StoredTokens:
    if document["version"] != VERSION:
        raise ValueError("another version")
    tokens = document["tokens"]
    accesses = tuple(
        AccessToken(
            **_timed(access, "expires_at", "exchange_until")
            | {"scopes": tuple(access["scopes"]), "format": AccessFormat(access["format"])}
        )
        for access in tokens["access_tokens"]
    )
    known = {"session_kind": TokenKind(tokens["session_kind"]), "access_tokens": accesses}
    pending = document["pending"]
    return StoredTokens(
        TokenSet(**_timed(tokens, "idle_expires_at", "absolute_expires_at") | known),
        pending
        and PendingExchange(
            bytes.fromhex(pending["exchange_id"]),
            tuple(pending["audiences"]),
            tuple(pending["scopes"]),
        ),
    )


def _timed(document: dict[str, Any], *names: str) -> dict[str, Any]:
    """Give it with times instead of Unix seconds."""
    seconds = {name: document[name] for name in names}
    return document | {
        name: None if value is None else datetime.fromtimestamp(value, UTC)
        for name, value in seconds.items()
    }
