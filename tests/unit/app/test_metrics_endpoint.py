"""Metrics and probes in plain HTTP: what is answered, and what no client can take away."""

import asyncio
import gzip
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager, closing
from http.client import HTTPConnection

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tests.support.waiting import PATIENCE, patience
from token_service.app.endpoints import plain_http
from token_service.app.endpoints.metrics_endpoint import MetricsEndpoint
from token_service.app.errors import StartupError


class State:
    """What is probed."""

    def __init__(self) -> None:
        self.not_live = ""
        self.not_ready = ""

    def why_not_live(self) -> str:
        return self.not_live

    def why_not_ready(self) -> str:
        return self.not_ready


class Gauge(Collector):
    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self._before = before

    def collect(self) -> Iterable[Metric]:
        self._before()
        yield GaugeMetricFamily("apples", "How many there are.", value=3)


@asynccontextmanager
async def serving(
    state: State | None = None, collector: Collector | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """An endpoint; its port."""
    endpoint = MetricsEndpoint(f"{host}:0", state or State(), collector or Gauge())
    try:
        yield endpoint.port
    finally:
        await endpoint.close()


async def asked(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    """Status and body, as a stock client sees them."""

    def ask() -> tuple[int, bytes]:
        with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            connection.request("GET", path, headers=headers)
            reply = connection.getresponse()
            return reply.status, reply.read()

    return await asyncio.to_thread(ask)


async def sent(port: int, data: bytes) -> bytes:
    """Everything that is answered to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_metrics_are_shown() -> None:
    async with serving() as port:
        status, text = await asked(port, "/metrics")
        assert (status, text.splitlines()[-1]) == (200, b"apples 3.0")
        _, packed = await asked(port, "/metrics", **{"Accept-Encoding": "gzip"})
        assert gzip.decompress(packed) == text
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        assert (await asked(port, "/metrics?x=1", **accept))[1].endswith(b"# EOF\n")


async def test_probes_say_why_not() -> None:
    state = State()
    async with serving(state) as port:
        for path in ("/livez", "/readyz"):
            assert await asked(port, path) == (200, b"ok\n")
        state.not_ready = "the database is away"
        assert await asked(port, "/readyz") == (503, b"the database is away\n")
        assert await asked(port, "/livez") == (200, b"ok\n")
        state.not_live = "it hangs"
        assert await asked(port, "/livez") == (503, b"it hangs\n")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET / HTTP/1.1", 404),
        ("GET /metrics/../secret HTTP/1.1", 404),
        ("POST /livez HTTP/1.1", 405),
        ("GET /livez", 400),
        ("GET  /livez HTTP/1.1", 400),
        ("GET /livez HTTP/2.0", 400),
        ("\xff\x00", 400),
        ("GET /" + "x" * plain_http.MAX_HEAD * 3 + " HTTP/1.1", 431),
    ],
)
async def test_other_requests_are_refused(request_line: str, status: int) -> None:
    async with serving() as port:
        answer = await sent(port, f"{request_line}\r\nHost: here\r\n\r\n".encode("latin-1"))
        # One that says too much may learn of the end of its connection alone.
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()) or (status == 431 and not answer)
        assert await asked(port, "/livez") == (200, b"ok\n")


async def test_head_is_get_without_the_body() -> None:
    async with serving() as port:
        answer = await sent(port, b"HEAD /livez HTTP/1.1\r\nHost: here\r\n\r\n")
        assert b"content-length: 3\r\n" in answer.lower()
        assert answer.endswith(b"\r\n\r\n")


async def test_idle_connections_keep_no_probe_out() -> None:
    async with serving() as port:
        with ExitStack() as stack:
            for number in range(plain_http.MAX_CONNECTIONS * 3):
                idle = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                idle.sendall(b"GET /livez HTTP/1.1\r\nX: " + b"x" * number)
            assert await asked(port, "/livez") == (200, b"ok\n")
            assert await asked(port, "/metrics")


async def test_who_is_too_slow_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_http, "PATIENCE", 0.2)
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ended = asyncio.create_task(reader.read())
        async with patience():
            while not ended.done():  # a byte now and then does not help
                writer.write(b"x")
                await asyncio.wait({ended}, timeout=0.01)
        assert isinstance(ended.exception(), ConnectionError) or ended.result() == b""
        writer.close()


async def test_a_probe_does_not_wait_for_a_scrape() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go_on.wait(PATIENCE)

    async with serving(collector=Gauge(hang)) as port:
        scrapes = [asyncio.create_task(asked(port, "/metrics")) for _ in range(2)]
        try:
            await asyncio.to_thread(begun.wait, 10)
            assert await asked(port, "/livez") == (200, b"ok\n")
        finally:
            go_on.set()
        assert {status for status, _ in await asyncio.gather(*scrapes)} == {200}


async def test_a_page_that_fails_tells_nothing() -> None:
    def fail() -> None:
        raise TimeoutError("of postgres://user:password@host")

    async with serving(collector=Gauge(fail)) as port:
        assert await asked(port, "/metrics") == (500, b"Internal Server Error\n")
        assert await asked(port, "/livez") == (200, b"ok\n")


@pytest.mark.parametrize("host", ["[::]", "localhost", "0.0.0.0"])  # noqa: S104 - loopback alone calls
async def test_without_ipv6_ipv4_is_served(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """As gRPC does it for its own address."""
    real = socket.socket

    def without_ipv6(family: int = socket.AF_INET, *others: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *others)

    monkeypatch.setattr("token_service.app.endpoints.binding.socket.socket", without_ipv6)
    endpoint = MetricsEndpoint(f"{host}:0", State(), Gauge())
    monkeypatch.undo()
    try:
        assert await asked(endpoint.port, "/livez") == (200, b"ok\n")
    finally:
        await endpoint.close()


async def test_everywhere_is_ipv6_and_ipv4() -> None:
    async with serving(host="[::]") as port:
        assert await asked(port, "/livez") == (200, b"ok\n")


async def test_an_address_that_cannot_be_had_is_told() -> None:
    async with serving() as port:
        with pytest.raises(StartupError, match=r"^TOKEN_SERVICE_METRICS_LISTEN: .* in use"):
            MetricsEndpoint(f"127.0.0.1:{port}", State())
    with pytest.raises(StartupError, match=r"^TOKEN_SERVICE_METRICS_LISTEN: cannot listen"):
        MetricsEndpoint("no-such-host.invalid:1", State())
    async with serving() as port:
        assert port
