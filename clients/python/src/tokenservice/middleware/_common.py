"""What all middleware does alike: ask the validator, and say no in the right words."""

from __future__ import annotations

import json
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from http import HTTPStatus
from math import ceil
from typing import TYPE_CHECKING, Final, TypedDict

from tokenservice._decisions.requirements import Requirements
from tokenservice.core import Verdict

if TYPE_CHECKING:
    from collections.abc import Collection

    from tokenservice._decisions.decision import Decision, OnStale, Principal
    from tokenservice.middleware._routes import Route

PRINCIPAL_KEY: Final = "tokenservice.principal"
"""Where the principal of a request is: in the ASGI scope and in the WSGI environ."""

RETRY_AFTER: Final = timedelta(seconds=1)
"""When a question that could not be answered may be asked again."""

RECHECK_EVERY: Final = timedelta(seconds=5)
"""How often the token of an open stream is looked at again, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that does not reach the application.

    ``error`` is the code of RFC 6750 or RFC 9470 where they have one, else a word of the same
    form, "" for a request without a token (RFC 6750 section 3.1 wants no code there).
    ``retry_after`` is None when it makes no difference.
    """

    status: int
    www_authenticate: str = ""
    error: str = ""
    retry_after: timedelta | None = None

    def headers(self) -> list[tuple[str, str]]:
        """Give the headers of the HTTP response."""
        headers = [("content-type", "application/problem+json"), ("cache-control", "no-store")]
        if self.www_authenticate:
            headers.append(("www-authenticate", self.www_authenticate))
        if self.retry_after is not None:
            # Whole seconds (RFC 9110, section 10.2.3), and not before the time.
            headers.append(("retry-after", str(ceil(self.retry_after.total_seconds()))))
        return headers

    def body(self) -> bytes:
        """Give the body of the HTTP response (RFC 9457); nothing in it comes from the request."""
        problem: dict[str, object] = {
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
        }
        if self.error:
            problem["error"] = self.error
        return json.dumps(problem).encode("ascii")


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """Ends the handling of a request with a refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.error or "no token")
        self.refusal = refusal


MISSING_TOKEN: Final = Refusal(401, "Bearer")
INVALID_REQUEST: Final = Refusal(400, 'Bearer error="invalid_request"', "invalid_request")
INVALID_TOKEN: Final = Refusal(401, 'Bearer error="invalid_token"', "invalid_token")
CROSS_ORIGIN: Final = Refusal(403, error="cross_origin_request")
NO_RULE: Final = Refusal(403, error="route_not_listed")

_ERRORS: Final = {
    Verdict.INSUFFICIENT_SCOPE: "insufficient_scope",
    Verdict.STEP_UP_REQUIRED: "insufficient_user_authentication",
}


def listed(route: Route | None) -> Route:
    """Raise Refused when no rule names the route."""
    if route is None:
        raise Refused(NO_RULE)
    return route


class Demand(TypedDict):
    """The arguments of :meth:`tokenservice.Validates.validate` beside the token."""

    audience: str
    scopes: Collection[str]
    max_auth_age: timedelta | None
    acr: str
    confirmation: bytes
    on_stale: OnStale


def demand(route: Route, audience: str, confirmation: bytes) -> Demand:
    """Give what is asked of the validator; ``audience`` is for routes that name none."""
    return {
        "audience": route.audience or audience,
        "scopes": route.scopes,
        "max_auth_age": route.max_auth_age,
        "acr": route.acr,
        "confirmation": confirmation,
        "on_stale": route.on_stale,
    }


def refusal_of(decision: Decision) -> Refusal | None:
    """Give the refusal that a decision amounts to, None when the request may go on."""
    if decision.active and decision.principal is not None:
        return None
    status = decision.http_status
    if not 400 <= status < 500:
        return Refusal(503, error="temporarily_unavailable", retry_after=RETRY_AFTER)
    return refused_for(decision.verdict, status, decision.www_authenticate)


def refused_for(verdict: Verdict, status: int, www_authenticate: str) -> Refusal:
    """Give the refusal of a token for its verdict."""
    return Refusal(status, www_authenticate, _ERRORS.get(verdict, "invalid_token"))


def admitted(decision: Decision) -> Principal:
    """Give the principal of a request that may go on; raises Refused."""
    refusal = refusal_of(decision)
    if refusal is not None or decision.principal is None:
        raise Refused(refusal or INVALID_TOKEN)
    return decision.principal


def thumbprint(pem: str) -> bytes:
    """SHA-256 of a certificate (RFC 8705 section 3.1); b"" for text that is not one.

    A token that is bound to a certificate is refused then, and others need none.
    """
    try:
        return sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).digest()
    except ValueError:
        return b""


def check_audience(audience: str) -> str:
    """Raise ValueError unless tokens can be issued for this audience."""
    return Requirements().make(audience, (), None, "", b"").audience


def next_check(principal: Principal, now: float, every: float) -> float:
    """Seconds until the token of an open stream is looked at again.

    That is at its expiry when this comes first. Local clocks are off: while the validator still
    takes an expired token for good, it is asked again within a second.
    """
    left = principal.expires_at.timestamp() - now
    return min(every, max(left, min(every, 1.0)))


_principal: ContextVar[Principal | None] = ContextVar("tokenservice_principal", default=None)


def set_principal(principal: Principal) -> None:
    """Name the caller in the current context."""
    _principal.set(principal)


def current_principal() -> Principal:
    """Give the caller of the gRPC method being served.

    Raises LookupError outside of one, and in a method that is public.
    """
    principal = _principal.get()
    if principal is None:
        raise LookupError("no authenticated call is being served here")
    return principal
