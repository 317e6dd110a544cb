"""A route's demands, checked once and remembered: the same few come with every request."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tokenservice._times import check_duration, seconds_of
from tokenservice.core import Requirement
from tokenservice.core.bounded_cache import put_bounded
from tokenservice.core.facts import ACR_LEVELS
from tokenservice.core.limits import AUDIENCE, MAX_DURATION, MAX_SCOPES, SCOPE, THUMBPRINT_LENGTH

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_KEPT: Final = 4096


class Requirements:
    """Requirements by what they are made of; look in ``known`` first."""

    def __init__(self) -> None:
        self.known: dict[tuple[object, ...], Requirement] = {}

    def make(
        self,
        audience: str,
        scopes: Collection[str],
        max_auth_age: timedelta | None,
        acr: str,
        confirmation: bytes,
    ) -> Requirement:
        """Give the requirement; raises ValueError for one that the server would not accept, and
        TypeError for an age that is a number."""
        key = (
            audience,
            scopes if isinstance(scopes, tuple | frozenset) else frozenset(scopes),
            max_auth_age,
            acr,
            confirmation,
        )
        found = self.known.get(key)
        if found is None:
            check_duration(max_auth_age, "max_auth_age")
            if isinstance(scopes, str):
                raise ValueError("scopes must be a collection of names")
            found = _checked(
                audience,
                frozenset(scopes),
                max_auth_age,
                acr,
                confirmation,
            )
            put_bounded(self.known, key, found, MAX_KEPT)
        return found


def _checked(
    audience: str, scopes: frozenset[str], age: timedelta | None, acr: str, confirmation: bytes
) -> Requirement:
    if AUDIENCE.fullmatch(audience) is None:
        raise ValueError("audience must be 1 to 128 visible characters without quotes, backslashes")
    if len(scopes) > MAX_SCOPES or not all(map(SCOPE.fullmatch, scopes)):
        raise ValueError(f"scopes must be at most {MAX_SCOPES} scope-tokens of 1 to 64 characters")
    if age is not None and not timedelta(0) <= age <= MAX_DURATION:
        raise ValueError(f"max_auth_age must be from 0 to {MAX_DURATION.days} days")
    if acr not in ACR_LEVELS:
        raise ValueError(f"acr must be one of {', '.join(ACR_LEVELS[1:])}, or empty")
    if len(confirmation) not in (0, THUMBPRINT_LENGTH):
        raise ValueError("confirmation must be a SHA-256 thumbprint, or empty")
    return Requirement(audience, scopes, seconds_of(age, "max_auth_age"), acr, confirmation)
