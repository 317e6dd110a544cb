"""What people read when something happened, in one place."""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import Final

from tokenservice import RateLimited, Reason, TokenServiceError, Unreachable
from tokenservice.core import RevocationReason

from .visits import Notice, NoticeKind

MINUTE: Final = timedelta(minutes=1)

USED_TWICE: Final = (
    "This sign-in was used from two places. Nobody can tell which of the two is you, so both were "
    "signed out. If the other one was not you, change your password."
)
EXPIRED: Final = "You were signed out because nothing happened for a while. Please sign in again."
ENDED: Final = "Your session was ended. Please sign in again."
UNREACHABLE: Final = "The token service does not answer at the moment."
NOT_KNOWN: Final = (
    "The token service did not answer in time. Look whether what you sent took effect before you "
    "send it again."
)
TRY_AGAIN: Final = "That did not work. Please try again."
FORM_EXPIRED: Final = "That page was too old to be sent. Please try again."
NO_CODE: Final = "No QR code was found in the picture. Get closer, keep it straight, avoid glare."
MANY_CODES: Final = "There is more than one QR code in the picture. Take one of a single code."
FOREIGN_CODE: Final = "That QR code is not one for signing in here."
SIGN_IN_FIRST: Final = "Sign in on this phone first, then scan the code again."
CODE_DEAD: Final = "That code is not good any more. Scan the one that is shown now."
WRONG_NUMBER: Final = "That is not the number. Another wrong one ends this."
WRONG_CREDENTIALS: Final = "The user name or the password is not right."
CONFIRM: Final = "It is a while since you signed in. Confirm that it is you to go on."
TWO_DIGITS: Final = "The number has two digits."
TOO_LATE: Final = "It was too late for that."
PAIRING_GONE: Final = "That code is gone. Start again."
DEVICE_SIGNED_OUT: Final = "That device was signed out."
OTHERS_SIGNED_OUT: Final = "You were signed out everywhere else."
SIGNED_OUT: Final = "You are signed out."

_REVOKED: Final = {
    RevocationReason.TOKEN_REUSED: USED_TWICE,
    RevocationReason.LOGOUT: "You were signed out from another of your devices.",
    RevocationReason.PASSWORD_CHANGED: "The password was changed. Please sign in with the new one.",
    RevocationReason.LOST_DEVICE: "This device was reported lost and signed out.",
    RevocationReason.USER_DISABLED: "This account is disabled.",
}

_REFUSED: Final = {
    Reason.CREDENTIALS_INVALID: WRONG_CREDENTIALS,
    Reason.CHECK_NUMBER_WRONG: WRONG_NUMBER,
    Reason.PAIRING_STATE: TOO_LATE,
    Reason.PAIRING_NOT_FOUND: PAIRING_GONE,
    Reason.PAIRING_NETWORK_MISMATCH: "Both devices must be on the same network, and are not.",
}

_DONE: Final = frozenset({DEVICE_SIGNED_OUT, OTHERS_SIGNED_OUT, SIGNED_OUT})
_WARNINGS: Final = frozenset(
    {USED_TWICE, EXPIRED, ENDED, SIGN_IN_FIRST, CONFIRM, NOT_KNOWN, *_REVOKED.values()}
)


def notice(text: str, field: str = "") -> Notice:
    """Give a text as what a page says first; what is neither done nor a warning is an error."""
    if text in _DONE:
        return Notice(text, NoticeKind.DONE)
    if text in _WARNINGS:
        return Notice(text, NoticeKind.WARNING)
    return Notice(text, NoticeKind.ERROR, field)


def revoked(reason: RevocationReason) -> str:
    """Say why a session ended."""
    return _REVOKED.get(reason, ENDED)


def refused(error: TokenServiceError) -> str:
    """Say why the service refused."""
    if isinstance(error, Unreachable):
        return UNREACHABLE
    if isinstance(error, RateLimited):
        minutes = ceil((error.retry_after or MINUTE) / MINUTE)
        return f"Too many attempts. Please try again in {minutes} minute{'s' * (minutes > 1)}."
    return _REFUSED.get(error.reason, TRY_AGAIN)
