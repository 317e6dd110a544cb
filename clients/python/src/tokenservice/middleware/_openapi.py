"""What an OpenAPI document says of protected operations: schemes, scopes, refusals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from tokenservice.core import Requirement, Verdict
from tokenservice.core.challenge import challenge
from tokenservice.middleware._bearer import SAFE_METHODS
from tokenservice.middleware._common import (
    CROSS_ORIGIN,
    INVALID_TOKEN,
    MISSING_TOKEN,
    NO_RULE,
    Refusal,
    refused_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from tokenservice.middleware._bearer import CookieAuth

SCHEME: Final = "TokenService"
"""Name of the security scheme for tokens in the Authorization header."""

COOKIE_SCHEME: Final = "TokenServiceCookie"
"""Name of the security scheme for tokens in a cookie."""

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An access token of the token service (RFC 6750).",
}
_TEXT: Final = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Demanded:
    """What an operation demands; ``max_auth_age`` is in seconds."""

    scopes: Collection[str] = frozenset()
    max_auth_age: float | None = None
    acr: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """How a refusal's body looks: its media type, its JSON Schema, and one for a refusal."""

    media_type: str
    schema: dict[str, Any]
    of: Callable[[Refusal], object]


PROBLEM: Final = Body(
    "application/problem+json",
    {
        "type": "object",
        "required": ["title", "status"],
        "properties": {"title": _TEXT, "status": {"type": "integer"}, "error": _TEXT},
    },
    lambda refusal: json.loads(refusal.body()),
)
"""That of the ASGI middleware (RFC 9457)."""


@dataclass(frozen=True, slots=True)
class _Case:
    """A refusal that an operation may answer with, and when it does."""

    refusal: Refusal
    when: str


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give the path, the method in upper case and the operation of each that is documented."""
    for path, item in document.get("paths", {}).items():
        for method in _METHODS:
            if method in item:
                yield path, method.upper(), item[method]


def show_demands(
    document: dict[str, Any],
    operation: dict[str, Any],
    method: str,
    demands: Collection[Demanded],
    cookie: CookieAuth | None,
    body: Body,
) -> None:
    """Add to an operation its security schemes with the scopes, and its 401 and 403 responses.

    What its author says of them stays. Doing it twice does what doing it once does.
    """
    schemes = {SCHEME: _BEARER}
    if cookie is not None:
        text = "The same token in a cookie, which requests from the application's pages carry."
        schemes[COOKIE_SCHEME] = {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie.name,
            "description": text,
        }
    document.setdefault("components", {}).setdefault("securitySchemes", {}).update(schemes)
    there: list[dict[str, list[str]]] = operation.get("security", [])
    known = {scope for one in there for name in schemes for scope in one.get(name, ())}
    scopes = sorted(known.union(*(one.scopes for one in demands)))
    operation["security"] = [
        *({name: scopes} for name in schemes),
        *(one for one in there if one.keys().isdisjoint(schemes)),
    ]
    for_origin = cookie is not None and cookie.check_origin and method not in SAFE_METHODS
    cases = [case for one in demands for case in _cases(one, for_origin=for_origin)]
    _show(operation, list(dict.fromkeys(cases)), body)


def show_refused(operation: dict[str, Any], body: Body) -> None:
    """Add to an operation that nobody reaches, since no rule names it, what callers get."""
    _show(operation, [_Case(NO_RULE, "the route is not listed: nobody is let in")], body)


def _cases(demanded: Demanded, *, for_origin: bool) -> list[_Case]:
    cases = [
        _Case(MISSING_TOKEN, "no access token"),
        _Case(INVALID_TOKEN, "an access token that is not good, or not good here"),
    ]
    requirement = Requirement("", frozenset(demanded.scopes), demanded.max_auth_age, demanded.acr)
    if demanded.acr or demanded.max_auth_age is not None:
        found = _refusal(Verdict.STEP_UP_REQUIRED, requirement)
        cases.append(_Case(found, "a login that is too old or too weak (RFC 9470)"))
    if demanded.scopes:
        found = _refusal(Verdict.INSUFFICIENT_SCOPE, requirement)
        needed = ", ".join(sorted(demanded.scopes))
        cases.append(_Case(found, f"an access token without all of the scopes {needed}"))
    if for_origin:
        cases.append(_Case(CROSS_ORIGIN, "a cookie that another site's page sent along"))
    return cases


def _refusal(verdict: Verdict, requirement: Requirement) -> Refusal:
    return refused_for(verdict, *challenge(verdict, requirement))


def _show(operation: dict[str, Any], cases: Sequence[_Case], body: Body) -> None:
    responses = operation.setdefault("responses", {})
    for status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        here = [case for case in cases if case.refusal.status == status]
        if not here:
            continue
        text = f"{status.phrase}: {'; '.join(case.when for case in here)}."
        response = responses.setdefault(str(status.value), {"description": text})
        if "$ref" in response:
            continue
        challenged = [case for case in here if case.refusal.www_authenticate]
        if challenged:
            response.setdefault("headers", {}).setdefault(
                "WWW-Authenticate",
                {
                    "description": "The challenge (RFC 6750 section 3).",
                    "schema": _TEXT,
                    "examples": _examples(challenged, lambda refusal: refusal.www_authenticate),
                },
            )
        response.setdefault("content", {}).setdefault(
            body.media_type, {"schema": body.schema, "examples": _examples(here, body.of)}
        )


def _examples(cases: Sequence[_Case], value: Callable[[Refusal], object]) -> dict[str, Any]:
    examples: dict[str, Any] = {}
    for case in cases:
        name = case.refusal.error or "missing_token"
        if name in examples:  # of another dependency of the same operation
            name = f"{name}_{len(examples)}"
        examples[name] = {"summary": case.when, "value": value(case.refusal)}
    return examples
