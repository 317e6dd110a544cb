"""Pairings: showing a code, following it, deciding, and collecting the session.

Both devices use these pages; which side a browser is on says the key that we keep for it.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.responses import Response, StreamingResponse

from tokenservice import PairingDirection, Reason, SessionOver, TokenServiceError, Unreachable, qr

from . import sessions, texts
from .roles import AUDIENCE, Role
from .standing import standing_of
from .visits import OpenPairing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .here import Here

_OVER: Final = frozenset({Reason.PAIRING_NOT_FOUND, Reason.CLIENT_MISMATCH})


async def start(here: Here) -> Response:
    """Show a code: an anonymous PC to be let in, a signed-in one to let a phone in."""
    if here.role is not Role.PC:
        return here.go()
    inward = here.text("direction") == "map"
    direction = PairingDirection.MAP if inward else PairingDirection.PAM
    token = "" if inward else (await sessions.signed_in(here)).session_token
    started = await here.pairings.start(
        direction,
        device=here.device,
        session_token=token,
        client_id=(Role.PC if inward else Role.PHONE).client_id,
        audiences=[AUDIENCE],
    )
    here.renew_visit()  # what will be collected is for this browser alone
    here.visit.pairings[here.role] = OpenPairing(started.key, direction)
    return here.go("pairing")


async def show(here: Here) -> Response:
    """Show how the pairing stands; the page follows it by itself."""
    pairing = here.visit.pairings.get(here.role)
    if pairing is None:
        return here.go()
    try:
        status = await here.pairings.get(pairing.key)
    except TokenServiceError as error:
        return _refused(here, error, "")
    standing = standing_of(pairing, status, time.time())
    notice = here.visit.notice
    if notice is not None and notice.field and not standing.decides:
        here.visit.take_notice()  # about a field that is not there any more
    to_pc = pairing.direction is PairingDirection.MAP
    return here.render("pairing.html", standing=standing, to_pc=to_pc)


async def picture(here: Here) -> Response:
    """Draw the QR code that is to be shown now."""
    pairing = here.visit.pairings.get(here.role)
    status = await here.pairings.get(pairing.key) if pairing else None
    if status is None or status.shown is None:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return Response(qr.svg(status.shown.qr_uri), media_type="image/svg+xml")


async def events(here: Here) -> Response:
    """Stream how the pairing stands, each change as it comes (server-sent events)."""
    pairing = here.visit.pairings.get(here.role)
    if pairing is None:
        return Response(status_code=HTTPStatus.NO_CONTENT)  # tells the browser not to come back
    return StreamingResponse(_events(here, pairing), media_type="text/event-stream")


async def _events(here: Here, pairing: OpenPairing) -> AsyncGenerator[str, None]:
    patience, there = here.site.backend.patience, True
    async with aclosing(here.pairings.watch(pairing.key)) as statuses:
        coming = asyncio.ensure_future(anext(statuses, None))
        try:
            while True:
                done, _ = await asyncio.wait({coming}, timeout=patience.seconds)
                if not done:
                    before, there = there, await patience.answers()
                    told = f"event: {'there' if there else 'away'}\ndata: {{}}\n\n"
                    yield ": still here\n\n" if there is before else told
                    continue
                status = coming.result()
                if status is None:
                    return
                standing = standing_of(pairing, status, time.time())
                yield f"data: {json.dumps(standing.as_json())}\n\n"
                coming = asyncio.ensure_future(anext(statuses, None))
        except TokenServiceError:
            # The page asks again, and is then told what is wrong.
            yield "event: lost\ndata: {}\n\n"
        finally:
            coming.cancel()
            await asyncio.wait({coming})


async def approve(here: Here) -> Response:
    """Take the number that the person typed."""
    pairing = here.visit.pairings.get(here.role)
    if pairing is None:
        return here.go()
    person = await sessions.signed_in(here)
    number = here.text("check_number").strip()
    try:
        await here.pairings.approve(
            pairing.key, session_token=person.session_token, check_number=number
        )
    except TokenServiceError as error:
        if error.reason is Reason.STEP_UP_REQUIRED:
            return here.go("confirm", texts.CONFIRM)
        if error.reason is Reason.FIELD_INVALID:  # not two digits: not counted
            return here.go("pairing", texts.TWO_DIGITS, field="check_number")
        return _refused(here, error, field="check_number")
    return here.go("pairing")


async def deny(here: Here) -> Response:
    """Refuse."""
    return await _end(here, approver=True)


async def cancel(here: Here) -> Response:
    """Give up."""
    return await _end(here, approver=False)


async def _end(here: Here, *, approver: bool) -> Response:
    pairing = here.visit.pairings.get(here.role)
    if pairing is None:
        return here.go()
    ending = here.pairings.deny if approver else here.pairings.cancel
    try:
        await ending(pairing.key)
    except TokenServiceError as error:
        return _refused(here, error)
    return here.go("pairing")


async def collect(here: Here) -> Response:
    """Fetch the session that was approved, and sign this device in with it."""
    pairing = here.visit.pairings.get(here.role)
    if pairing is None:
        return here.go()
    try:
        tokens = await here.pairings.collect(pairing.key)
    except TokenServiceError as error:
        return _refused(here, error, "")
    await sessions.enter(here, tokens)
    here.visit.pairings.pop(here.role, None)
    return here.go()


def _refused(
    here: Here, error: TokenServiceError, page: str = "pairing", *, field: str = ""
) -> Response:
    """Say what the service refused, on the pairing's page or without it when it is no more.

    Raises what is not about the pairing.
    """
    if isinstance(error, SessionOver | Unreachable):
        raise error
    notice = texts.refused(error)
    if error.reason in _OVER:
        page, notice = "", texts.PAIRING_GONE
    if not page:
        here.visit.pairings.pop(here.role, None)
    wrong = error.reason is Reason.CHECK_NUMBER_WRONG
    return here.go(page, notice, field=field if wrong else "")
