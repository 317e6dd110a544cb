"""No test's result depends on how fast the machine is.

Tests wait with `tests.support.waiting`. A time that a test measures may be compared with another
one of the same run, or with a lower limit; a time that runs out in a test is meant to (it stands in
a `pytest.raises` or is shorter than a second), or is `PATIENCE`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MEASURING = {"bench", "soak"}
"""Programs whose purpose it is to measure."""
WAITING = TESTS / "support" / "waiting.py"

CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time"}
LIMITS = {"timeout", "timeout_at", "wait_for"}
"""Of asyncio."""
WAITS = {"wait", "join", "acquire", "wait_ready", "Timer"}
"""Whose first argument is a number of seconds: of threads, processes, events and validators."""
LONG = 60.0
EXPECTING = {"raises", "suppress"}


def found(source: str) -> list[str]:
    """What the rules forbid in a module, as "line: what"."""
    tree = ast.parse(source)
    named = _numbers(tree)
    nodes = list(ast.walk(tree))
    expected = {
        id(inner)
        for outer in nodes
        if isinstance(outer, ast.With | ast.AsyncWith) and _expects(outer)
        for inner in ast.walk(outer)
    }
    faults: list[tuple[int, str]] = []
    for node in nodes:
        if isinstance(node, ast.Call):
            if _name(node.func) in LIMITS and id(node) not in expected:
                faults.append((node.lineno, "a limit of its own: use patience() or until()"))
            elif any(1.0 <= seconds < LONG for seconds in _seconds_of(node, named)):
                faults.append((node.lineno, "a wait that a slow machine ends: use PATIENCE"))
        elif (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Add)
            and any(_reads_clock(side) for side in (node.left, node.right))
        ):
            faults.append((node.lineno, "an end of its own: use until() or wait_until()"))
    if any(clock in source for clock in CLOCKS):
        faults += [(line, "a speed that the machine must have") for line in _bounds(tree)]
    return [f"{line}: {what}" for line, what in sorted(set(faults))]


def _expects(block: ast.With | ast.AsyncWith) -> bool:
    """Whether the time is to run out in it."""
    heads = (item.context_expr for item in block.items)
    return any(
        _name(head.func) in EXPECTING and "TimeoutError" in map(_name, head.args)
        for head in heads
        if isinstance(head, ast.Call)
    )


def _numbers(tree: ast.Module) -> dict[str, float]:
    """The module's named numbers."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, int | float)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _seconds_of(call: ast.Call, named: dict[str, float]) -> Iterator[float]:
    given = [one.value for one in call.keywords if one.arg in {"timeout", "within"}]
    if _name(call.func) in WAITS and isinstance(call.func, ast.Attribute):
        given += call.args[:1]
    for value in [part for one in given for part in _parts(one)]:
        if isinstance(value, ast.Constant) and isinstance(value.value, int | float):
            yield value.value
        elif isinstance(value, ast.Name) and value.id in named:
            yield named[value.id]


def _parts(value: ast.expr) -> list[ast.expr]:
    """A number of seconds, or that of a timedelta."""
    if isinstance(value, ast.Call) and _name(value.func) == "timedelta":
        return [one.value for one in value.keywords if one.arg == "seconds"]
    return [value]


def _name(function: ast.expr) -> str:
    """The last part of what is called; "" for what has no name."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _reads_clock(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Call) and _name(expression.func) in CLOCKS


def _bounds(tree: ast.Module) -> Iterator[int]:
    """Lines on which a measured time is to be less than something that was not measured."""
    measured = _measured(tree)

    loops = {id(node.test) for node in ast.walk(tree) if isinstance(node, ast.While)}

    def is_measured(expression: ast.expr) -> bool:
        if isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Div):
            return is_measured(expression.left) is not is_measured(expression.right)
        return any(
            (isinstance(inner, ast.expr) and _reads_clock(inner))
            or (isinstance(inner, ast.Name) and inner.id in measured)
            or (isinstance(inner, ast.Call) and _name(inner.func) in measured)
            for inner in ast.walk(expression)
        )

    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and id(node) not in loops:
            sides = [node.left, *node.comparators]
            for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
                if isinstance(operator, ast.Lt | ast.LtE):
                    less, more = left, right
                elif isinstance(operator, ast.Gt | ast.GtE):
                    less, more = right, left
                else:
                    continue
                if is_measured(less) and not is_measured(more):
                    yield node.lineno


def _measured(tree: ast.Module) -> set[str]:
    """Names and functions of the module that give the difference of two readings."""
    names: set[str] = set()
    while True:
        before = len(names)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and _differs(node.value, names):
                names |= {one.id for one in node.targets if isinstance(one, ast.Name)}
            elif isinstance(node, ast.Call) and _name(node.func) in {"append", "add"}:
                kept = node.func.value if isinstance(node.func, ast.Attribute) else None
                if isinstance(kept, ast.Name) and any(_differs(one, names) for one in node.args):
                    names.add(kept.id)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                ends = (inner for inner in ast.walk(node) if isinstance(inner, ast.Return))
                if any(end.value is not None and _differs(end.value, names) for end in ends):
                    names.add(node.name)
        if len(names) == before:
            return names


def _differs(value: ast.expr, names: set[str]) -> bool:
    for node in ast.walk(value):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and _reads_clock(node.left):
            return True
        if isinstance(node, ast.Name) and node.id in names:
            return True
        if isinstance(node, ast.Call) and _name(node.func) in names:
            return True
    return False


def modules() -> list[Path]:
    return [
        file
        for file in sorted(TESTS.rglob("*.py"))
        if file.relative_to(TESTS).parts[0] not in MEASURING and file != WAITING
    ]


def test_no_result_depends_on_the_speed_of_the_machine() -> None:
    files = modules()
    assert len(files) > 100
    faults = [
        f"{file.relative_to(TESTS)}:{fault}" for file in files for fault in found(file.read_text())
    ]
    assert faults == []


@pytest.mark.parametrize(
    "forbidden",
    [
        "async with asyncio.timeout(5): await done.wait()",
        "await asyncio.wait_for(done.wait(), LIMIT)",
        "with pytest.raises(Closed):\n    async with asyncio.timeout(5): await done.wait()",
        "process.wait(10)",
        "validator.wait_ready(timedelta(seconds=10))",
        "queue.get(timeout=30)",
        "SECONDS = 20.0\nthread.join(SECONDS)",
        "began = time.monotonic()\nassert time.monotonic() - began < 4.0",
        "began = time.monotonic()\nassert 0.2 <= time.monotonic() - began < 4.0",
        "took = time.perf_counter() - began\nassert LIMIT > took",
        "times.append(time.monotonic() - began)\nassert sorted(times)[10] < 0.01",
        "def took():\n    return time.monotonic() - began\nassert took() < 2",
        "ends_at = time.monotonic() + 20",
    ],
)
def test_a_bound_is_found(forbidden: str) -> None:
    assert len(found(forbidden)) == 1


@pytest.mark.parametrize(
    "allowed",
    [
        "with pytest.raises(TimeoutError):\n    async with asyncio.timeout(0.05): await never()",
        "process.wait(PATIENCE)",
        "validator.wait_ready(timedelta(seconds=PATIENCE))",
        "subprocess.run(command, timeout=120)",
        "await asyncio.wait([task], timeout=0.2)",
        "took = time.monotonic() - began\nassert took >= 0.2",
        "fast = time.monotonic() - began\nslow = time.monotonic() - began\nassert fast < slow",
        "one = time.monotonic() - began\nother = time.monotonic() - began\nassert one / other < 2",
        "while time.monotonic() < revoked_at + LIMIT: show()",
        "','.join(names)",
    ],
)
def test_what_no_speed_changes_is_allowed(allowed: str) -> None:
    wrapped = "async def test():\n" + "\n".join(f"    {line}" for line in allowed.splitlines())
    assert found(wrapped) == []
