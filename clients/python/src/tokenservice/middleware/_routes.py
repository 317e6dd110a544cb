"""What routes demand, and the table that finds a route by method and path.

A table answers None for what it does not name, and middleware refuses that. Paths are compared
segment by segment and never repaired: one that two programs could read in two ways (dot
segments, empty segments, backslashes, control characters) is named by no table.
"""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Final

from tokenservice._decisions.requirements import Requirements

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import timedelta

    from tokenservice._decisions.decision import OnStale

WEBSOCKET: Final = "WEBSOCKET"
"""Stands for the method of a WebSocket handshake, which is no ordinary GET."""

_METHOD: Final = re.compile(r"[A-Z]+(?:-[A-Z]+)*")
_KEY: Final = re.compile(r"(?:(?P<method>[A-Z]+) )?(?P<path>/[!-~]*)")
_PARAMETER: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_UNCLEAR: Final = re.compile(r"[\x00-\x1f\x7f\\]|//|/\.{1,2}(?:/|$)")
_REST: Final = "**"


@dataclass(frozen=True, slots=True)
class Route:
    """What a route demands of the token presented.

    ``scopes`` are all needed. ``max_auth_age`` bounds the age of the last login or step-up;
    ``acr`` is the least authentication level (RFC 9470; no login is above "aal1" yet).
    ``audience`` is "" for the middleware's own. ``on_stale`` is explained at
    :data:`tokenservice.OnStale`. A ``public`` route is open to everybody and demands
    nothing. Raises ValueError for what no token could be judged by.
    """

    scopes: Collection[str] = frozenset()
    _: KW_ONLY
    max_auth_age: timedelta | None = None
    acr: str = ""
    audience: str = ""
    on_stale: OnStale = "ask"
    public: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.scopes, str):
            raise TypeError("scopes is a collection of names, not one name")
        object.__setattr__(self, "scopes", frozenset(self.scopes))
        # What no validator takes is found where it is written, not at the first request.
        audience = self.audience or "any"
        Requirements().make(audience, self.scopes, self.max_auth_age, self.acr, b"")
        demands = self.scopes or self.acr or self.audience or self.max_auth_age is not None
        if self.public and demands:
            raise ValueError("a public route demands nothing")


PUBLIC: Final = Route(public=True)
"""Open to everybody: a token is not asked for, and one that is presented is not looked at."""


@dataclass(slots=True)
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    rest: dict[str, Route] = field(default_factory=dict)
    here: dict[str, Route] = field(default_factory=dict)


class RouteTable:
    """Routes by method and path.

    A key is ``"GET /orders/{id}"``, or ``"/orders/{id}"`` for every method. ``{id}`` stands for
    one segment that is not empty; ``**``, as the last segment only, for all that follows. The
    method of a WebSocket handshake is ``WEBSOCKET``; a GET route serves HEAD too. The more
    literal path wins, segment by segment from the left, and then a named method.
    """

    def __init__(self, routes: Mapping[str, Route]) -> None:
        """Raise ValueError for a key that cannot be read, or that says the same as another."""
        self._root = _Node()
        for key, route in routes.items():
            found = _KEY.fullmatch(key)
            if found is None or _UNCLEAR.search(found["path"]):
                raise ValueError(f"not a route: {key!r}")
            table = self._place(key, found["path"])
            if table.setdefault(found["method"] or "", route) is not route:
                raise ValueError(f"the route is there twice: {key!r}")

    def find(self, method: str, path: str) -> Route | None:
        """Give what is demanded of a request, None for one that no key names.

        ``path`` is decoded and relative to the application.
        """
        # Methods are case-sensitive (RFC 9110 section 9.1), yet some applications raise theirs
        # afterwards: one spelled otherwise must not slip past the rule that names it.
        if _METHOD.fullmatch(method) is None:
            return None
        if not path.startswith("/") or _UNCLEAR.search(path):
            return None
        return _find(self._root, path[1:].split("/"), 0, method)

    def _place(self, key: str, path: str) -> dict[str, Route]:
        node = self._root
        *parents, last = path[1:].split("/")
        for segment in parents:
            node = _child(node, segment, key)
        return node.rest if last == _REST else _child(node, last, key).here


def _child(node: _Node, segment: str, key: str) -> _Node:
    if _PARAMETER.fullmatch(segment):
        if node.parameter is None:
            node.parameter = _Node()
        return node.parameter
    if any(mark in segment for mark in "{}*"):
        raise ValueError(f"not a route: {key!r}")
    return node.literal.setdefault(segment, _Node())


def _find(node: _Node, segments: list[str], at: int, method: str) -> Route | None:
    if at == len(segments):
        return _of_method(node.here, method)
    segment, found = segments[at], None
    if segment in node.literal:
        found = _find(node.literal[segment], segments, at + 1, method)
    if found is None and segment and node.parameter is not None:
        found = _find(node.parameter, segments, at + 1, method)
    return found if found is not None else _of_method(node.rest, method)


def _of_method(table: Mapping[str, Route], method: str) -> Route | None:
    found = table.get(method)
    if found is None and method == "HEAD":
        found = table.get("GET")
    return found if found is not None else table.get("")
