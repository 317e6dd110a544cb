"""The client package's examples run as they are, and its README shows them as they are."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, Queue

import grpc
import httpx
import pytest

from tests.support.documents import CLIENT_README, blocks
from tests.support.grpc_services import Client
from tests.support.servers import ROOT, ServerProcess
from tests.support.waiting import PATIENCE
from tests.support.world import World

EXAMPLES = ROOT / "clients" / "examples"
START_SECONDS = 60.0

_URL = re.compile(r"http://(127\.0\.0\.1:\d+)")


def environment(world: World, server: ServerProcess, client_id: str, **more: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if "TOKEN_SERVICE" not in name},
        "TOKEN_SERVICE_SERVER": server.address,
        "TOKEN_SERVICE_CLIENT_ID": client_id,
        "TOKEN_SERVICE_CLIENT_SECRET": world.clients[client_id],
        "PYTHONUNBUFFERED": "1",
        "PORT": "0",
        **more,
    }


@contextmanager
def running(name: str, environ: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """An example that serves: its address, and what it prints."""
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / name)],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed: list[str] = []
    found: Queue[str] = Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            printed.append(line)
            for address in _URL.findall(line):
                found.put(address)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield found.get(timeout=START_SECONDS), printed
    except Empty:
        raise RuntimeError("it did not start:\n" + "".join(printed)) from None
    finally:
        process.terminate()
        process.wait(PATIENCE)
        reader.join(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()


def run(name: str, environ: dict[str, str], *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize("name", ["gateway_asgi.py", "gateway_fastapi.py", "gateway_wsgi.py"])
async def test_a_gateway_and_a_service_that_calls_it(
    name: str, served: tuple[World, ServerProcess]
) -> None:
    world, server = served
    with running(name, environment(world, server, "demo-gateway")) as (address, printed):
        url = f"http://{address}/orders"
        called = run("service_client.py", environment(world, server, "demo-api"), url)
        assert called == "200 {'caller': 'demo-api'}\n" * 3
        async with httpx.AsyncClient() as http, world.api(server.address, "demo-web") as web:
            tokens = await web.login(world.username, world.password, audiences=["orders"])
            token = tokens.access_tokens[0].token
            headers = {"authorization": f"Bearer {token}"}
            assert (await http.post(url, headers=headers)).status_code == 200
            refused = await http.get(url)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
    assert not any(part in "".join(printed) for part in token.split("."))


async def test_a_grpc_server(served: tuple[World, ServerProcess]) -> None:
    world, server = served
    with running("grpc_server.py", environment(world, server, "demo-gateway")) as (address, _):
        async with world.api(server.address, "demo-web") as web:
            tokens = await web.login(world.username, world.password, audiences=["orders"])
        async with Client(address, tokens.access_tokens[0].token) as client:
            assert len(await client.unary()) == 36
        async with Client(address) as client:
            assert (await client.unary())[0] == grpc.StatusCode.UNAUTHENTICATED.name


def test_a_login(served: tuple[World, ServerProcess]) -> None:
    world, server = served
    environ = environment(
        world, server, "demo-web", USERNAME=world.username, PASSWORD=world.password
    )
    lines = run("login.py", environ).splitlines()
    assert lines[0].startswith("logged in, orders until ")
    assert lines[1:] == ["one successor: True", "logged out: TOKEN_REVOKED"]


def test_tests_of_an_application() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    command += [f"--rootdir={EXAMPLES}", str(EXAMPLES / "test_orders.py")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr


def test_the_readme_shows_them() -> None:
    shown = [block for block in blocks(CLIENT_README) if block.mark.startswith("clients/examples/")]
    assert len(shown) == 2
    for block in shown:
        assert block.code == (ROOT / block.mark).read_text(), block.place
