"""A server without a supervisor: one process, which begins anew at SIGHUP."""

import asyncio
from contextlib import AbstractContextManager, nullcontext, suppress

import structlog

from token_service.app.ending import Ending, hold_signals, on_hangup
from token_service.app.errors import StartupError
from token_service.app.processes.reservation import reserved
from token_service.app.processes.stand_in import StandIn, begin_anew, started
from token_service.app.processes.worker_process import WorkerProcess, patience_with
from token_service.app.server import Application, collect_less
from token_service.config import Settings
from token_service.domain.errors import TokenServiceError

RETRY_SECONDS = 1.0

_log = structlog.stdlib.get_logger("token_service")


async def serve_alone(settings: Settings, stand_in: StandIn | None) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a graceful stop. `stand_in` has served so far.

    Raises StartupError. At SIGHUP this does not return: the program is executed anew.
    """
    ending, hangup = Ending(), asyncio.Event()
    ending.on_signals()
    on_hangup(hangup.set)
    if settings.plaintext_beyond_this_machine:
        _log.warning("plaintext_beyond_this_machine", listen=settings.grpc_listen)
    leaving: asyncio.Task[None] | None = None
    worker: WorkerProcess | None = None
    with nullcontext(stand_in.address) if stand_in else _held(settings) as listen:
        here = settings.model_copy(update={"grpc_listen": listen})
        application = await _serving(here, ending, stand_in)
        try:
            if stand_in is not None:
                leaving = asyncio.create_task(stand_in.leave(patience_with(settings)))
            worker = await _replaced(here, ending, hangup)
            _log.info("stopping")
        finally:
            await application.stop(hands_over=worker is not None)
    if leaving is not None:
        await leaving
    if worker is not None:
        hold_signals()
        if not ending.asked:
            begin_anew(worker, listen)
        worker.terminate()
        await worker.gone(patience_with(settings))
    _log.info("stopped")
    return 0


async def _serving(settings: Settings, ending: Ending, stand_in: StandIn | None) -> Application:
    """A server that serves. Tried again and again while somebody else serves in its place: they
    could begin, so what is wrong has only just come, and will go. Raises as `serve_alone`."""
    while True:
        try:
            application = await _started(settings)
        except (StartupError, TokenServiceError) as error:
            if stand_in is None or not stand_in.serves:
                raise
            _log.error("not_renewed_yet", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS):
                    await ending.wait()
            if ending.asked:
                raise
        else:
            return application


async def _started(settings: Settings) -> Application:
    application = await Application.create(settings, shares_port=True)
    try:
        address = await application.start()
    except BaseException:
        await application.stop()
        raise
    collect_less()
    _log.info("serving", address=address)
    return application


def _held(settings: Settings) -> AbstractContextManager[str]:
    if settings.grpc_listen.startswith("unix:"):
        return nullcontext(settings.grpc_listen)
    return reserved(settings.grpc_listen)


async def _replaced(
    settings: Settings, ending: Ending, hangup: asyncio.Event
) -> WorkerProcess | None:
    """A worker that serves in place of this process, once that was asked for; None for a stop."""
    while not ending.asked:
        stopping, renewing = (asyncio.create_task(one.wait()) for one in (ending, hangup))
        await asyncio.wait({stopping, renewing}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        renewing.cancel()
        if hangup.is_set() and not ending.asked:
            hangup.clear()
            worker = await started(settings, settings.grpc_listen, ending)
            if worker is not None:
                return worker
    return None
