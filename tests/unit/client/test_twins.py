"""Every asynchronous class has a twin for threads, with the same methods and parameters."""

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import tokenservice
from tokenservice import ClientSecret, SyncConnection, SyncTokenClient, Unreachable
from tokenservice._exports import NAMES

ALIKE = {"__aenter__", "__aexit__", "__anext__"}
OF_THE_LOOP = {
    # What calls and streams are made with; programs have no use for it.
    "Connection": {
        "credentials",
        "current",
        "failed",
        "metadata",
        "raise_if_replaced",
        "ready_stubs",
        "rejected",
        "stubs",
        "targets",
    },
    "Validator": {"ask", "try_local"},
}


def public(kind: type) -> dict[str, Any]:
    return {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}


def asynchronous(kind: type) -> bool:
    return any(
        inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
        for one in (getattr(kind, name) for name in dir(kind) if name not in ALIKE)
    )


CLASSES = {
    name: kind
    for name, kind in ((name, getattr(tokenservice, name)) for name in NAMES)
    if inspect.isclass(kind) and not getattr(kind, "_is_protocol", False)
}
ON_LOOPS = sorted(name for name, kind in CLASSES.items() if asynchronous(kind))
WITHOUT_TWIN = {
    # Given to a connection or a session of either sort, which awaits them.
    "AccessTokenCredentials",
    "Anonymous",
    "ClientCertificate",
    "ClientSecret",
    "ClientSecretFile",
    "FileTokenStore",
    "MemoryTokenStore",
    # Serves both clients of HTTPX.
    "BearerAuth",
}


def test_each_has_its_twin() -> None:
    assert {f"Sync{name}" for name in set(ON_LOOPS) - WITHOUT_TWIN} == {
        name for name in CLASSES if name.startswith("Sync")
    }


def parameters(method: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [
        (one.name, one.kind, one.default) for one in inspect.signature(method).parameters.values()
    ]


@pytest.mark.parametrize("name", sorted(set(ON_LOOPS) - WITHOUT_TWIN))
def test_a_twin_has_the_same_methods(name: str) -> None:
    own, twin = public(CLASSES[name]), public(CLASSES[f"Sync{name}"])
    expected = own.keys() - OF_THE_LOOP.get(name, set())
    assert expected - twin.keys() == set()
    for method in expected:
        if inspect.isfunction(own[method]):
            assert parameters(twin[method]) == parameters(own[method]), method


def test_a_server_that_is_not_there_is_found_at_the_start() -> None:
    with pytest.raises(Unreachable, match="no server can be reached"):
        SyncConnection.connect(
            "127.0.0.1:1", ClientSecret("web", "s3cret"), within=timedelta(seconds=0.5)
        )


def test_clients_share_a_connection_and_end_with_it() -> None:
    with SyncConnection("127.0.0.1:1", ClientSecret("web", "s3cret")) as connection:
        one, other = SyncTokenClient(connection), SyncTokenClient(connection)
        assert one.loop is other.loop is connection.loop
    with pytest.raises(RuntimeError, match="closed"):
        one.get_session("x")
    assert "s3cret" not in repr(connection)
