"""Times are datetimes and timedeltas in all that programs see; a number does not say its unit."""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tokenservice
import tokenservice.middleware
import tokenservice.testing
from tests.support.client_fakes import FakeConnection, FakeTime
from tokenservice import CodeClient, CodeKind, Connection, SyncConnection, Validator
from tokenservice._exports import NAMES as NAMES_OF_THE_PACKAGE
from tokenservice._times import check_moment, seconds_of
from tokenservice.middleware.asgi import TokenMiddleware

NAMES = (
    "_age",
    "_at",
    "_every",
    "_in",
    "_interval",
    "_limit",
    "_time",
    "_timeout",
    "_until",
    "_within",
    "after",
    "age",
    "every",
    "interval",
    "lasted",
    "lifetime",
    "not_before",
    "now",
    "overlap",
    "patience",
    "retry_after",
    "seconds",
    "staleness",
    "timeout",
    "took",
    "ttl",
    "window",
    "within",
)
"""How parameters, fields and methods that are times are called, or end."""


def public_modules() -> Iterator[ModuleType]:
    for package in (tokenservice.middleware, tokenservice.testing):
        yield package
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not found.name.rpartition(".")[2].startswith("_"):
                yield importlib.import_module(found.name)


def surface() -> Iterator[tuple[str, Any]]:
    """Each class and function that programs import, whatever module has it."""
    for name in NAMES_OF_THE_PACKAGE:
        yield name, getattr(tokenservice, name)
    for module in public_modules():
        for name in getattr(module, "__all__", None) or vars(module):
            one = vars(module)[name]
            if not name.startswith("_") and getattr(one, "__module__", "") == module.__name__:
                yield f"{module.__name__}.{name}", one


def annotations(path: str, one: Any) -> Iterator[tuple[str, str]]:
    """What parameters, results and fields are said to be, as it is written."""
    if inspect.isclass(one):
        for base in one.__mro__:
            if base.__module__.startswith("tokenservice"):
                yield from of_class(path, base)
        return
    if isinstance(one, property):
        one = one.fget
    one = getattr(one, "__func__", one)
    if inspect.isfunction(one):
        for name, annotation in one.__annotations__.items():
            yield (path if name == "return" else f"{path}({name})"), str(annotation)


def of_class(path: str, kind: type) -> Iterator[tuple[str, str]]:
    for name, annotation in vars(kind).get("__annotations__", {}).items():
        if not name.startswith("_"):
            yield f"{path}.{name}", str(annotation)
    for name, member in vars(kind).items():
        if not name.startswith("_") or name == "__init__":
            yield from annotations(f"{path}.{name}", member)


def number(annotation: str) -> bool:
    """Whether a bare number may stand there; functions and containers of numbers are no times."""
    try:
        alternatives = ast.parse(annotation, mode="eval").body
    except SyntaxError:
        return annotation in ("<class 'float'>", "<class 'int'>")
    parts = [alternatives]
    while parts:
        part = parts.pop()
        if isinstance(part, ast.BinOp):
            parts += [part.left, part.right]
        elif isinstance(part, ast.Name) and part.id in ("float", "int"):
            return True
    return False


def timely(path: str) -> bool:
    last = path.replace("(", ".").rstrip(")").rpartition(".")[2]
    return last.endswith(NAMES)


ALL = sorted({found for path, one in surface() for found in annotations(path, one)})


def test_the_walk_sees_parameters_fields_results_and_twins() -> None:
    seen = dict(ALL)
    for path in (
        "TokenClient.exchange(timeout)",
        "SyncTokenClient.exchange(timeout)",
        "AccessToken.expires_at",
        "Validator.view_age",
        "Route.max_auth_age",
        "ValidatorEvents.asked(took)",
        "tokenservice.middleware.asgi.TokenMiddleware.__init__(recheck_every)",
        "tokenservice.testing.issuer.Issuer.now",
    ):
        assert path in seen, path
    assert number("float | None")
    assert not number("Callable[[], float]")


def test_what_a_server_says_is_read_without_overflow() -> None:
    folder = Path(tokenservice.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        read = re.findall(r"\.To(?:Datetime|Timedelta)\(", path.read_text())
        assert not read or path.parent.name == "v1", path


def test_no_number_is_named_like_a_time() -> None:
    assert [(path, said) for path, said in ALL if timely(path) and number(said)] == []


def test_no_float_is_public_but_what_is_no_time() -> None:
    assert [path for path, said in ALL if number(said) and "float" in said] == []


@pytest.mark.parametrize("given", [300, 300.0, "300"])
async def test_a_number_is_refused_by_name(given: Any) -> None:
    with pytest.raises(TypeError, match="timeout is a timedelta"):
        seconds_of(given, "timeout")
    fake: Any = FakeConnection(FakeTime())
    with pytest.raises(TypeError, match="ttl is a timedelta"):
        await CodeClient(fake).issue(purpose="p", kind=CodeKind.COUPON, ttl=given)
    with pytest.raises(TypeError, match="recheck_every is a timedelta"):
        TokenMiddleware(fake, validator=fake, audience="a", routes={}, recheck_every=given)
    connection = Connection("127.0.0.1:1", tokenservice.ClientSecret("web", "s3cret"))
    with pytest.raises(TypeError, match="staleness_limit is a timedelta"):
        Validator(connection, staleness_limit=given)
    with pytest.raises(TypeError, match="within is a timedelta"):
        SyncConnection.connect("127.0.0.1:1", connection.credentials, within=given)


def test_a_time_needs_its_zone() -> None:
    check_moment(datetime.now(UTC), "not_before")
    check_moment(None, "not_before")
    for given in (1_800_000_000, datetime.now(), timedelta(0)):  # noqa: DTZ005 - the point
        with pytest.raises(TypeError, match="not_before is a datetime with a time zone"):
            check_moment(given, "not_before")
