"""The phone's camera: a picture comes in, and the code in it is scanned.

Only a picture will do. A link that leads here, or a code that is sent or read out to somebody,
does nothing: what has to be scanned has to be on a screen that the person sees.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse

from tokenservice import (
    PairingDirection,
    Reason,
    SessionOver,
    TokenServiceError,
    Unreachable,
    code_of,
)

from . import sessions, texts
from .pictures import NotAPicture, texts_in
from .roles import Role
from .visits import OpenPairing

if TYPE_CHECKING:
    from starlette.responses import Response

    from .here import Here

_QR_TEXT: Final = re.compile(r"[!-~]{1,200}/(map|pam)/[0-9A-Za-z-]{16,24}")


async def show(here: Here) -> Response:
    """Ask for a picture."""
    if here.role is not Role.PHONE:
        return here.go()
    return here.render("scan.html")


async def scan(here: Here) -> Response:
    """Find the code in the picture and present it."""
    if here.role is not Role.PHONE:
        return here.go()
    upload = here.form.get("picture")
    picture = await upload.read() if isinstance(upload, UploadFile) else b""
    try:
        found = await texts_in(picture)
    except NotAPicture as refusal:
        return _not_found(here, f"That cannot be used: {refusal}.")
    if not found:
        return _not_found(here, texts.NO_CODE)
    ours = {match.string: match[1] for match in map(_QR_TEXT.fullmatch, found) if match}
    if len(ours) != 1:
        return _not_found(here, texts.MANY_CODES if ours else texts.FOREIGN_CODE)
    ((text, direction),) = ours.items()
    return await _present(here, code_of(text), into_pc=direction == "map")


async def _present(here: Here, code: str, *, into_pc: bool) -> Response:
    token = ""
    if into_pc:
        try:
            token = (await sessions.signed_in(here)).session_token
        except sessions.LoginNeeded as needed:
            raise sessions.LoginNeeded(needed.notice or texts.SIGN_IN_FIRST) from None
    try:
        scanned = await here.pairings.scan(
            code,
            scan_id=here.visit.scan_id(code),
            session_token=token,
            device=here.device,
        )
    except TokenServiceError as error:
        if isinstance(error, SessionOver | Unreachable):
            raise
        dead = error.reason in (Reason.PAIRING_STATE, Reason.FIELD_INVALID)
        return here.go("scan", texts.CODE_DEAD if dead else texts.refused(error), field="picture")
    direction = PairingDirection.MAP if into_pc else PairingDirection.PAM
    if scanned.direction is not direction:  # the text said one thing and the service another
        await here.pairings.cancel(scanned.key)
        return here.go("scan", texts.FOREIGN_CODE, field="picture")
    here.renew_visit()
    here.visit.pairings[here.role] = OpenPairing(scanned.key, scanned.direction)
    return here.go("pairing")


def _not_found(here: Here, notice: str) -> Response:
    """Have the camera go on, or the person choose another picture."""
    if here.wants_json:
        return JSONResponse({"notice": "" if notice == texts.NO_CODE else notice})
    return here.go("scan", notice, field="picture")
