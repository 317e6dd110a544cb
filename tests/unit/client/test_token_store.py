"""Tokens in a file: owner only, whole or not at all, for one user at a time."""

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.support.client_fakes import token_set
from tests.support.waiting import PATIENCE, patience
from tokenservice import (
    FileTokenStore,
    MemoryTokenStore,
    PendingExchange,
    StoredTokens,
    TokenStoreError,
)
from tokenservice._sessions.token_store import held

TOKENS = token_set(1, 0, 1_800_000_000.5)
PENDING = PendingExchange(bytes(range(16)), ("orders",), ("orders.read", "orders.write"))
SECRET = "session-1.0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.json"


@pytest.mark.parametrize("kind", ["file", "memory"])
@pytest.mark.parametrize("stored", [StoredTokens(TOKENS), StoredTokens(TOKENS, PENDING)])
async def test_what_was_saved_is_loaded(path: Path, kind: str, stored: StoredTokens) -> None:
    store = FileTokenStore(path) if kind == "file" else MemoryTokenStore()
    assert await store.load() is None
    async with store.locked():
        await store.save(stored)
    assert await store.load() == stored
    await store.save(None)
    assert await store.load() is None
    await store.save(None)


async def test_only_the_owner_can_read_it_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        store = FileTokenStore(path)
        async with store.locked():
            await store.save(StoredTokens(TOKENS))
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"session.json": 0o600, "session.json.lock": 0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
async def test_a_file_that_others_can_open_is_refused(path: Path, mode: int) -> None:
    store = FileTokenStore(path)
    await store.save(StoredTokens(TOKENS))
    path.chmod(mode)
    with pytest.raises(TokenStoreError, match="only its owner"):
        await store.load()


async def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    await FileTokenStore(target).save(StoredTokens(TOKENS))
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        await FileTokenStore(path).load()


async def test_a_failed_save_leaves_what_was_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileTokenStore(path)
    await store.save(StoredTokens(TOKENS))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            await store.save(StoredTokens(TOKENS, PENDING))
    assert await store.load() == StoredTokens(TOKENS)
    assert [file.name for file in path.parent.iterdir()] == ["session.json"]


async def test_what_a_dead_process_left_half_written_is_in_nobodys_way(path: Path) -> None:
    path.with_name("session.json.new").write_text("half")
    store = FileTokenStore(path)
    assert await store.load() is None
    await store.save(StoredTokens(TOKENS))
    assert await store.load() == StoredTokens(TOKENS)


def _damaged() -> list[Any]:
    whole = {
        "version": 1,
        "tokens": {"session_token": SECRET, "session_kind": 3, "access_tokens": []},
        "pending": None,
    }
    return [
        f'{{"version": 1, "tokens": "{SECRET}"',
        json.dumps({"version": 2, "tokens": SECRET}),
        json.dumps([SECRET]),
        json.dumps(whole),
        json.dumps(whole | {"tokens": {**whole["tokens"], "session_kind": 99}}),  # type: ignore[dict-item] # a test's own
        SECRET + "\xff",
    ]


@pytest.mark.parametrize("text", _damaged())
async def test_a_damaged_file_is_an_error_that_shows_nothing_of_it(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text, encoding="latin-1")
    with pytest.raises(TokenStoreError) as caught:
        await FileTokenStore(path).load()
    assert SECRET not in repr(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("kind", ["file", "memory"])
async def test_one_user_at_a_time(path: Path, kind: str) -> None:
    shared = MemoryTokenStore()
    inside = 0
    most = 0

    async def use() -> None:
        nonlocal inside, most
        store = FileTokenStore(path) if kind == "file" else shared
        async with store.locked():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1

    await asyncio.gather(*(use() for _ in range(5)))
    assert most == 1


async def test_whoever_gives_up_waiting_leaves_the_lock_alone(path: Path) -> None:
    async with FileTokenStore(path).locked():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), FileTokenStore(path).locked():
                pass
    async with patience(), FileTokenStore(path).locked():
        pass


async def test_nobody_waits_forever(path: Path) -> None:
    for first, second in (
        (FileTokenStore(path), FileTokenStore(path)),
        (shared := MemoryTokenStore(), shared),
    ):
        async with first.locked():
            with pytest.raises(TokenStoreError, match="let go"):
                async with held(second, within=0.05):
                    pass
        async with held(second, within=PATIENCE):
            pass


async def test_no_repr_shows_a_token_or_an_id(path: Path) -> None:
    store = MemoryTokenStore()
    await store.save(StoredTokens(TOKENS, PENDING))
    shown = f"{store!r} {FileTokenStore(path)!r} {StoredTokens(TOKENS, PENDING)!r}"
    for secret in (SECRET, "access-1.0", repr(PENDING.exchange_id), PENDING.exchange_id.hex()):
        assert secret not in shown
