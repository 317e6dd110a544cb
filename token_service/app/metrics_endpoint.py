"""Where Prometheus asks: an HTTP server on a thread of its own."""

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from token_service.app.errors import StartupError

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer


class MetricsEndpoint:
    """Serves what the collectors show. They are called on the server's thread."""

    def __init__(self, listen: str, *collectors: Collector) -> None:
        """Listen on `host:port`. Raises StartupError."""
        registry = CollectorRegistry()
        for collector in collectors:
            registry.register(collector)
        host, _, port = listen.rpartition(":")
        try:
            server, _ = start_http_server(int(port), host.strip("[]"), registry)
        except OSError as error:
            raise StartupError(
                f"TOKEN_SERVICE_METRICS_LISTEN: cannot listen on {listen}"
            ) from error
        self._server: WSGIServer = server

    @property
    def port(self) -> int:
        """The one that was bound."""
        return self._server.server_port

    async def close(self) -> None:
        """Answer nobody any more."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()
