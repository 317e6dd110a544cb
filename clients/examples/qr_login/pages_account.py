"""Signing in by password, confirming, signing out, and the list of devices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from tokenservice import Reason, SessionOver, TokenServiceError, Unreachable
from tokenservice.core import Platform, RevocationReason

from . import sessions, texts
from .roles import AUDIENCE

if TYPE_CHECKING:
    from starlette.responses import Response

    from tokenservice import Session

    from .here import Here

_PATIENCE: Final = timedelta(seconds=3)
"""A person is waiting for the page."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list of devices."""

    session_id: str
    name: str
    details: str
    here: bool
    phone: bool


async def home(here: Here) -> Response:
    """Show where the person is signed in."""
    person = await sessions.signed_in(here)
    found = here.tokens.list_sessions(session_token=person.session_token, timeout=_PATIENCE)
    listed = [session async for session in found]
    names = {one.session_id: one.device.name for one in listed}
    rows = [_row(one, names, person.principal.session_id) for one in listed]
    methods = person.principal.amr
    return here.render("home.html", rows=rows, by_phone="xdev" in methods)


def _row(session: Session, names: dict[str, str], current: str) -> Row:
    parts = [f"Signed in {_time(session.created_at)}"]
    if session.parent_session_id:
        parts.append(f"let in by {names.get(session.parent_session_id) or 'another device'}")
    if session.device.ip_address:
        parts.append(f"from {session.device.ip_address}")
    return Row(
        session_id=session.session_id,
        name=session.device.name or "A device without a name",
        details=", ".join(parts),
        here=session.session_id == current,
        phone=session.platform is Platform.MOBILE,
    )


def _time(when: datetime) -> str:
    return when.strftime("%d %b %Y, %H:%M UTC")


async def show_login(here: Here) -> Response:
    """Ask for the password."""
    return here.render("login.html", confirming=False)


async def log_in(here: Here) -> Response:
    """Check the password and sign in."""
    username = here.text("username")
    try:
        tokens = await here.tokens.login_with_password(
            username,
            here.text("password"),
            platform=here.role.platform,
            audiences=[AUDIENCE],
            device=here.device,
        )
    except Unreachable:
        raise
    except TokenServiceError as error:
        return _again(here, username, error, confirming=False)
    await sessions.enter(here, tokens)
    return here.go()


async def show_confirm(here: Here) -> Response:
    """Ask for the password again, for what needs a login that is not old."""
    await sessions.signed_in(here)
    return here.render("login.html", confirming=True)


async def confirm(here: Here) -> Response:
    """Check the password of who is signed in already, and go back to the pairing."""
    person = await sessions.signed_in(here)
    username = here.text("username")
    try:
        tokens = await here.tokens.reauthenticate(
            person.session_token,
            username,
            here.text("password"),
            audiences=[AUDIENCE],
            device=here.device,
        )
    except TokenServiceError as error:
        if isinstance(error, SessionOver | Unreachable):
            raise
        if error.reason is Reason.TOKEN_SUPERSEDED:  # another tab renewed the session meanwhile
            await sessions.renew(here)
        return _again(here, username, error, confirming=True)
    await sessions.keep(here, tokens)
    here.renew_visit()
    return here.go("pairing")


def _again(here: Here, username: str, error: TokenServiceError, *, confirming: bool) -> Response:
    wrong = error.reason is Reason.CREDENTIALS_INVALID
    here.visit.notice = texts.notice(texts.refused(error), "username" if wrong else "")
    status = HTTPStatus.UNAUTHORIZED
    return here.render("login.html", status, confirming=confirming, username=username)


async def log_out(here: Here) -> Response:
    """Sign this device out."""
    await sessions.sign_out(here)
    here.renew_visit()
    return here.go("login", texts.SIGNED_OUT)


async def sign_out_device(here: Here) -> Response:
    """Sign one device out."""
    person = await sessions.signed_in(here)
    session_id = here.text("session_id")
    if session_id == person.principal.session_id:
        return await log_out(here)
    await here.tokens.revoke_session(
        session_id, session_token=person.session_token, reason=RevocationReason.LOGOUT
    )
    return here.go("", texts.DEVICE_SIGNED_OUT)


async def sign_out_others(here: Here) -> Response:
    """Sign every other device out."""
    person = await sessions.signed_in(here)
    await here.tokens.revoke_other_sessions(person.session_token, reason=RevocationReason.LOGOUT)
    return here.go("", texts.OTHERS_SIGNED_OUT)
