"""Where Prometheus and kubelets ask: metrics and probes in plain HTTP."""

import asyncio
import gzip
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http import HTTPStatus

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from token_service.app.endpoints.binding import bound
from token_service.app.endpoints.plain_http import Headers, PlainHttp, Reply
from token_service.app.endpoints.probes import Probes
from token_service.app.errors import StartupError


class MetricsEndpoint:
    """Serves `/metrics`, `/livez` and `/readyz`. Collectors and probes are asked on its threads."""

    def __init__(self, listen: str, probes: Probes, *collectors: Collector) -> None:
        """Listen on `host:port`. Raises StartupError."""
        self._registry = CollectorRegistry()
        for collector in collectors:
            self._registry.register(collector)
        self._probes = probes
        self._held = ExitStack()
        try:
            sockets = self._held.enter_context(bound(listen, socket.SO_REUSEADDR))
            for one in sockets:
                one.listen()
        except OSError as error:
            self._held.close()
            raise StartupError(
                f"TOKEN_SERVICE_METRICS_LISTEN: cannot listen on {listen}: "
                f"{error.strerror or error}"
            ) from error
        self.port: int = sockets[0].getsockname()[1]
        # One thread: scrapes wait for each other, and never does a probe for them.
        self._scraping = self._held.enter_context(ThreadPoolExecutor(1, "metrics"))
        self._http = PlainHttp(
            sockets, {"/metrics": self._metrics, "/livez": self._live, "/readyz": self._ready}
        )

    async def close(self) -> None:
        """Answer nobody any more."""
        await self._http.close()
        await asyncio.to_thread(self._held.close)

    async def _metrics(self, headers: Headers) -> Reply:
        encode, content_type = choose_encoder(headers.get("accept", ""))
        packed = "gzip" in headers.get("accept-encoding", "")

        def body() -> bytes:
            text = encode(self._registry)
            return gzip.compress(text, 1) if packed else text

        made = await asyncio.get_running_loop().run_in_executor(self._scraping, body)
        encoding = {"Content-Encoding": "gzip"} if packed else {}
        return Reply(made, headers={"Content-Type": content_type, **encoding})

    async def _live(self, _: Headers) -> Reply:
        return _probed(self._probes.why_not_live())

    async def _ready(self, _: Headers) -> Reply:
        return _probed(self._probes.why_not_ready())


def _probed(why_not: str) -> Reply:
    if why_not:
        return Reply(f"{why_not}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE)
    return Reply(b"ok\n")
