"""Who is signed in on this device.

Both tokens are in cookies that no script can read. The access token is checked on every request,
as in front of any API; when it has expired, the session token is exchanged, unseen by the person.
A cookie that was copied is noticed: two browsers cannot both go on exchanging one session token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokenservice import Reason, SessionOver, TokenServiceError
from tokenservice.core import Verdict

from . import texts
from .roles import AUDIENCE

if TYPE_CHECKING:
    from tokenservice import Principal, TokenSet

    from .here import Here

_SESSION, _ACCESS = "session", "access"


class LoginNeeded(Exception):  # noqa: N818 - a condition, not a fault
    """Nobody is signed in (any more); the notice says why, "" for nobody ever was."""

    def __init__(self, notice: str = "") -> None:
        super().__init__(notice)
        self.notice = notice


class NotAnswered(Exception):  # noqa: N818 - a condition, not a fault
    """Whether somebody is signed in could not be found out."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The person, and the session token as it is now."""

    principal: Principal
    session_token: str = field(repr=False)


async def signed_in(here: Here) -> SignedIn:
    """Give who is signed in. Raises LoginNeeded, NotAnswered, TokenServiceError."""
    session, access = here.cookie(_SESSION), here.cookie(_ACCESS)
    if not session:
        raise LoginNeeded
    if access:
        decision = await here.site.backend.validator.validate(access, audience=AUDIENCE)
        if decision.active and decision.principal is not None:
            return SignedIn(decision.principal, session)
        if decision.verdict is Verdict.UNSPECIFIED:
            raise NotAnswered
    return await renew(here)


async def renew(here: Here) -> SignedIn:
    """Exchange the session token for its successor. Raises as :func:`signed_in` does."""
    session = here.cookie(_SESSION)
    try:
        tokens = await here.tokens.exchange(session, audiences=[AUDIENCE], device=here.device)
    except SessionOver as error:
        raise LoginNeeded(await _why(here, error)) from error
    return await keep(here, tokens)


async def keep(here: Here, tokens: TokenSet) -> SignedIn:
    """Have the browser keep new tokens. Raises NotAnswered where they cannot be checked."""
    access = tokens.access_token(AUDIENCE).token
    # First of all: the token before this one is spent.
    here.set_own_cookie(_SESSION, tokens.session_token)
    here.set_own_cookie(_ACCESS, access)
    here.visit.session_ids[here.role] = tokens.session_id
    decision = await here.site.backend.validator.validate(access, audience=AUDIENCE)
    if decision.principal is None or not decision.active:
        raise NotAnswered
    return SignedIn(decision.principal, tokens.session_token)


async def enter(here: Here, tokens: TokenSet) -> None:
    """Sign in with the tokens of a login or a pairing."""
    await sign_out(here)
    await keep(here, tokens)
    here.renew_visit()


async def sign_out(here: Here) -> None:
    """End this device's session, if there is one, for good and everywhere."""
    session = here.cookie(_SESSION)
    if session:
        await here.tokens.revoke(token=session)
    forget(here)


def forget(here: Here) -> None:
    """Have the browser drop its tokens."""
    for name in (_SESSION, _ACCESS):
        here.set_own_cookie(name, "")


async def _why(here: Here, error: SessionOver) -> str:
    """Say why a session is over."""
    if error.reason is Reason.TOKEN_REUSED:
        return texts.USED_TWICE
    if error.reason is Reason.TOKEN_EXPIRED:
        return texts.EXPIRED
    session_id = here.visit.session_ids.get(here.role)
    if session_id is None:
        return texts.ENDED
    try:
        session = await here.tokens.get_session(session_id)
    except TokenServiceError:  # the reason would have been a courtesy
        return texts.ENDED
    return texts.revoked(session.revoked_reason)
