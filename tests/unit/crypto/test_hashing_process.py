"""The process that hashes passwords, when it hangs: stopped, or starved of memory."""

import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.processes import is_alive
from tests.support.waiting import until
from token_service.adapters.crypto import hashing_process
from token_service.adapters.crypto.argon2id import Argon2Cost
from token_service.adapters.crypto.hashing_process import HASH, HashingLostError, HashingProcess

PASSWORD = "correct horse battery staple"


@pytest_asyncio.fixture
async def hung() -> AsyncIterator[HashingProcess]:
    process = HashingProcess(Argon2Cost(), 1, patience=0.1)
    await process.start()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    yield process
    await process.close()


async def test_another_takes_its_place(hung: HashingProcess) -> None:
    former = hung.pid
    with pytest.raises(HashingLostError):
        await hung.ask(HASH, PASSWORD)
    await until(lambda: hung.pid is None)
    await hung.start()
    assert hung.pid not in (None, former)


async def test_its_server_ends_all_the_same(
    hung: HashingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing_process, "CLOSING_SECONDS", 0.1)
    pid = hung.pid
    assert pid is not None
    await hung.close()
    assert not is_alive(pid)
