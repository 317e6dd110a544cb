"""A server process that dies right after a code was issued or redeemed, before it can answer.

Run as a process of its own, like the service. TEST_DIES_AFTER says after which.
"""

import os
import signal
from collections.abc import Sequence
from datetime import datetime

import uvloop

from token_service import config, logging
from token_service.adapters.postgres.codes.store import CodeStore
from token_service.app import serve
from token_service.domain.audit import AuditEvent
from token_service.domain.codes.decision import Code, Presented
from token_service.domain.ports import RedeemAnswer

DIES_AFTER = os.environ.get("TEST_DIES_AFTER", "")

_insert = CodeStore.insert
_redeem = CodeStore.redeem


async def _insert_and_die(self: CodeStore, code: Code, audit: AuditEvent) -> bool:
    inserted = await _insert(self, code, audit)
    if inserted and DIES_AFTER == "issue":
        os.kill(os.getpid(), signal.SIGKILL)
    return inserted


async def _redeem_and_die(
    self: CodeStore,
    presented: Presented,
    buckets: Sequence[bytes],
    now: datetime,
    audit: AuditEvent,
) -> RedeemAnswer:
    answer = await _redeem(self, presented, buckets, now, audit)
    if answer.redeemed is not None and DIES_AFTER == "redeem":
        os.kill(os.getpid(), signal.SIGKILL)
    return answer


if __name__ == "__main__":
    CodeStore.insert = _insert_and_die  # type: ignore[method-assign]
    CodeStore.redeem = _redeem_and_die  # type: ignore[method-assign]
    settings = config.load()
    logging.configure(settings.log_level, settings.log_format)
    raise SystemExit(uvloop.run(serve(settings)))
