"""A server process that dies right after an exchange has committed, before it can answer.

Run as a process of its own, like the service.
"""

import os
import signal
from uuid import UUID

import uvloop

from token_service import config, logging
from token_service.adapters.postgres.sessions.store import SessionStore
from token_service.app import serve
from token_service.domain.audit import AuditEvent
from token_service.domain.ports import PlainAdvance, SessionAdvance
from token_service.domain.sessions.session import Generation

_advance = SessionStore.advance
_advance_plainly = SessionStore.advance_plainly


async def _advance_and_die(
    self: SessionStore, change: SessionAdvance, audit: AuditEvent
) -> int | None:
    revision = await _advance(self, change, audit)
    if revision is not None and isinstance(change.session_id, UUID):
        os.kill(os.getpid(), signal.SIGKILL)
    return revision


async def _advance_plainly_and_die(
    self: SessionStore, change: PlainAdvance, audit: AuditEvent
) -> tuple[Generation, int] | None:
    advanced = await _advance_plainly(self, change, audit)
    if advanced is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return advanced


if __name__ == "__main__":
    SessionStore.advance = _advance_and_die  # type: ignore[method-assign]
    SessionStore.advance_plainly = _advance_plainly_and_die  # type: ignore[method-assign]
    settings = config.load()
    logging.configure(settings.log_level, settings.log_format)
    raise SystemExit(uvloop.run(serve(settings)))
