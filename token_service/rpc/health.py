"""The standard health service (grpc.health.v1), with an answer for each service by its name.

Watchers learn of a stop first and are ended with it, which the library's own servicer leaves to
the end of the grace period. While the services cannot answer, as without PostgreSQL, they are
NOT_SERVING by their names; the server as a whole, "", goes on SERVING, since who probes that
starts servers anew, which brings no database back.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable

from grpc import StatusCode
from grpc_health.v1.health_pb2 import (  # type: ignore[import-untyped]
    DESCRIPTOR,
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)

from token_service.domain.clients.caller import Caller
from token_service.rpc.errors import PrescribedStatus

SERVICE = DESCRIPTOR.services_by_name["Health"]
WHOLE_SERVER = ""

REPEAT_AFTER = 25.0
"""Seconds after which watchers are told the same again: proxies cut connections that carry nothing
for a minute, and a client whose health stream is cut takes the server for dead at first."""


class Health:
    """Handlers of the service, and the state that they tell. Nothing serves at first.

    `usable` says whether the services can answer now; `repeat_after` is in seconds.
    """

    def __init__(self, usable: Callable[[], bool], repeat_after: float = REPEAT_AFTER) -> None:
        self._repeat_after = repeat_after
        self.serving = False
        self._usable = usable
        self._services: dict[str, bool] = {WHOLE_SERVER: False, SERVICE.full_name: False}
        self._told: bool | None = None
        self._changed = asyncio.Event()

    def know(self, services: Iterable[str]) -> None:
        """Services to answer for, by full name, which can answer only while `usable`."""
        self._services |= dict.fromkeys(services, True)

    def tell(self, serving: bool) -> None:
        """From now on the server serves, or does not."""
        self.serving = serving
        self._wake()

    def look(self) -> None:
        """Tell watchers where `usable` has changed; to be called again and again."""
        usable = self._usable()
        if usable is not self._told:
            self._told = usable
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def check(self, caller: Caller, request: HealthCheckRequest) -> HealthCheckResponse:
        """One service's state; NOT_FOUND for one that is not known here."""
        del caller
        status = self._status(request.service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            raise PrescribedStatus(StatusCode.NOT_FOUND, "there is no such service")
        return HealthCheckResponse(status=status)

    async def list(self, caller: Caller, request: HealthListRequest) -> HealthListResponse:
        """All services and their states."""
        del caller, request
        return HealthListResponse(
            statuses={
                service: HealthCheckResponse(status=self._status(service))
                for service in self._services
            }
        )

    async def watch(
        self, caller: Caller, request: HealthCheckRequest
    ) -> AsyncGenerator[HealthCheckResponse, None]:
        """One service's state now, at every change, and again where nothing changes for long."""
        del caller
        told: int | None = None
        while True:
            changed, status = self._changed, self._status(request.service)
            if status != told:
                told = status
                yield HealthCheckResponse(status=status)
            try:
                async with asyncio.timeout(self._repeat_after):
                    await changed.wait()
            except TimeoutError:
                told = None

    def _status(self, service: str) -> int:
        depends = self._services.get(service)
        if depends is None:
            return int(HealthCheckResponse.SERVICE_UNKNOWN)
        serves = self.serving and (not depends or self._usable())
        return int(HealthCheckResponse.SERVING if serves else HealthCheckResponse.NOT_SERVING)
