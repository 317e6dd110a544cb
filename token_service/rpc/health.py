"""The standard health service (grpc.health.v1), with an answer for each service by its name.

Watchers learn of a stop first and are ended with it, which the library's own servicer leaves to
the end of the grace period.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable

from grpc import StatusCode
from grpc_health.v1.health_pb2 import (  # type: ignore[import-untyped]
    DESCRIPTOR,
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)

from token_service.domain.caller import Caller
from token_service.rpc.errors import PrescribedStatus

SERVICE = DESCRIPTOR.services_by_name["Health"]
WHOLE_SERVER = ""


class Health:
    """Handlers of the service, and the state that they tell. Nothing serves at first."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {WHOLE_SERVER: False}
        self._changed = asyncio.Event()

    def know(self, services: Iterable[str]) -> None:
        """Services to answer for, by full name; NOT_SERVING until told otherwise."""
        for service in services:
            self._serving.setdefault(service, False)

    def tell(self, serving: bool) -> None:
        """From now on all services are serving, or none is."""
        self._serving = dict.fromkeys(self._serving, serving)
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
                for service in self._serving
            }
        )

    async def watch(
        self, caller: Caller, request: HealthCheckRequest
    ) -> AsyncGenerator[HealthCheckResponse, None]:
        """One service's state now and at every change."""
        del caller
        told = None
        while True:
            changed, status = self._changed, self._status(request.service)
            if status != told:
                told = status
                yield HealthCheckResponse(status=status)
            await changed.wait()

    def _status(self, service: str) -> int:
        serving = self._serving.get(service)
        if serving is None:
            return int(HealthCheckResponse.SERVICE_UNKNOWN)
        return int(HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING)
