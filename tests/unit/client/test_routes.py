"""Which route a path is: the more literal wins, and what nobody named is no route."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenservice import PUBLIC, Route
from tokenservice.middleware import RouteTable

ONE, LIST, ANY, FEED, REST = (
    Route(scopes=[name]) for name in ("one", "list", "any", "feed", "rest")
)
TABLE = RouteTable(
    {
        "GET /orders": LIST,
        "/orders": ANY,
        "GET /orders/{id}": ONE,
        "GET /orders/new": PUBLIC,
        "WEBSOCKET /feed": FEED,
        "/static/**": PUBLIC,
        "/static/private/**": REST,
        "GET /{tenant}/items/{item_id}": ONE,
        "/{tenant}/items/all/**": REST,
        "GET /": PUBLIC,
    }
)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/orders", LIST),
        ("HEAD", "/orders", LIST),
        ("POST", "/orders", ANY),
        ("WEBSOCKET", "/orders", ANY),
        ("get", "/orders", None),
        ("pOST", "/orders", None),
        ("", "/orders", None),
        ("GET", "/orders/7", ONE),
        ("GET", "/orders/ä ö", ONE),
        ("HEAD", "/orders/7", ONE),
        ("GET", "/orders/new", PUBLIC),
        ("DELETE", "/orders/7", None),
        ("OPTIONS", "/orders/7", None),
        ("GET", "/orders/", None),
        ("GET", "/orders/7/", None),
        ("GET", "/orders/7/lines", None),
        ("GET", "/ORDERS", None),
        ("GET", "/feed", None),
        ("WEBSOCKET", "/feed", FEED),
        ("GET", "/static/", PUBLIC),
        ("GET", "/static/a/b.js", PUBLIC),
        ("GET", "/static", None),
        ("POST", "/static/private/x", REST),
        ("GET", "/static/private", PUBLIC),
        ("GET", "/acme/items/1", ONE),
        ("GET", "/acme/items/all", ONE),
        ("GET", "/acme/items/all/1", REST),
        ("GET", "/", PUBLIC),
        ("GET", "", None),
        ("GET", "orders", None),
    ],
)
def test_find(method: str, path: str, expected: Route | None) -> None:
    assert TABLE.find(method, path) is expected


@given(
    st.lists(st.sampled_from(["static", "orders", "a", ".", "..", "", "x\\y", "\x00", "é"])).filter(
        lambda parts: {".", "..", "x\\y", "\x00"} & {*parts} or "" in parts[:-1]
    )
)
def test_a_path_that_can_be_read_in_two_ways_is_no_route(parts: list[str]) -> None:
    everything = RouteTable({"/**": PUBLIC})
    assert everything.find("GET", "/" + "/".join(parts)) is None
    assert everything.find("GET", "/static/" + "/".join(parts)) is None


@given(st.text(st.characters(exclude_characters="\\", min_codepoint=32, max_codepoint=126)))
def test_everything_else_is_one(text: str) -> None:
    path = "/" + text
    clear = "//" not in path and not {".", ".."} & {*path.split("/")}
    assert (RouteTable({"/**": PUBLIC}).find("GET", path) is PUBLIC) is clear


@pytest.mark.parametrize(
    "key",
    [
        "orders",
        "get /orders",
        "GET  /orders",
        "GET /orders/{}",
        "/orders/{id",
        "/a{id}",
        "/**/x",
        "/*",
        "/a//b",
        "/a/../b",
        "/ä",
        "",
        "GET /a b",
    ],
)
def test_a_key_that_says_nothing_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not a route"):
        RouteTable({key: PUBLIC})


def test_a_route_is_named_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        RouteTable({"/a/{x}": LIST, "/a/{y}": ONE})


def test_what_a_route_may_say() -> None:
    assert Route(scopes=["b", "a", "a"]) == Route(scopes={"a", "b"})
    with pytest.raises(TypeError):
        Route(scopes="orders.read")
    demands: list[dict[str, Any]] = [
        {"scopes": ["a"]},
        {"acr": "aal2"},
        {"max_auth_age": timedelta(0)},
        {"audience": "x"},
    ]
    for demand in demands:
        with pytest.raises(ValueError, match="public"):
            Route(public=True, **demand)
    assert Route(max_auth_age=timedelta(0)) != Route()
    unfit: list[dict[str, Any]] = [
        {"scopes": ["a b"]},
        {"max_auth_age": timedelta(seconds=-1)},
        {"acr": "high"},
        {"audience": "a b"},
    ]
    for demand in unfit:
        with pytest.raises(ValueError, match="must be"):
            Route(**demand)
