"""What tests of stores that fail ask of a server process: its answers, and its log."""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.api import exchange_id
from tests.support.callers import Callers
from tests.support.outcomes import outcome
from tests.support.servers import ServerProcess
from tests.support.waiting import patience

UNAVAILABLE = {"STORE_UNAVAILABLE", "TRUST_STALE"}
PATIENT = {"staleness_limit": "60", "key_publish_lead": "120", "postgres_timeout": "1"}
"""The view of the trust log outlives the fault."""


def lines(server: ServerProcess, event: str) -> list[Mapping[str, Any]]:
    """What the server has logged of an event."""
    found = [json.loads(line) for line in server.output if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def require_no_traceback(server: ServerProcess) -> None:
    assert [line for line in server.output if "Traceback" in line] == []
    assert [line for line in server.output if "never retrieved" in line] == []


async def works(callers: Callers, token: str, once: bytes = b"") -> str:
    """Exchange the token, as often as it takes; its successor."""
    once = once or exchange_id()
    async with patience():
        while True:
            done = await outcome(callers.web.exchange(token, once))
            if not isinstance(done, str):
                return str(done.tokens.session_token)
            assert done in UNAVAILABLE
