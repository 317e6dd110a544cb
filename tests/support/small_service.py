"""A token service that only answers Validate and streams heartbeats, over real connections."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
from grpc import StatusCode

from tests.support.certificates import Issued, issue
from tests.support.client_fakes import rpc_error
from tests.support.feed_messages import heartbeat, key_message, message, snapshot
from tests.support.waiting import PATIENCE
from tokenservice import ClientSecret, Connection, Unreachable
from tokenservice._errors import error_of
from tokenservice._transport.calls import READ, Calls, Effort
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import trust_service_pb2 as trust_pb

HEARTBEAT_SECONDS = 0.02
CALLER = ClientSecret("shop", "the secret value")
AUTHORITY = issue("authority")


@dataclass
class Service:
    """Where it listens, and who called: names in the certificates of callers."""

    address: str = ""
    port: int = 0
    callers: list[str] = field(default_factory=list)
    watchers: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    accepted: str = ""
    """The only authorization that is accepted, unless it is ""."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Until it is set, Validate waits where `slow` says so."""
    slow: bool = False

    async def validate(self, _: pb.ValidateRequest, context: Any) -> pb.ValidateResponse:
        await self._note(context)
        if self.slow:
            await self.gate.wait()
        return pb.ValidateResponse()

    async def watch(self, _: trust_pb.WatchTrustRequest, context: Any) -> Any:
        await self._note(context)
        self.watchers.append(self.callers.pop())
        yield snapshot(message(7, time.time()), [], [key_message()])
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            yield heartbeat(message(7, time.time()))

    async def _note(self, context: Any) -> None:
        names = context.auth_context().get("x509_common_name", [b""])
        self.callers.append(names[0].decode())
        secret = dict(context.invocation_metadata()).get("authorization", "")
        self.secrets.append(secret)
        if self.accepted and secret != self.accepted:
            error = rpc_error(StatusCode.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED")
            await context.abort(error.code(), "who?", tuple(error.trailing_metadata()))


@asynccontextmanager
async def serving(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    certificate: Issued | None = None,
    client_authority: Issued | None = None,
) -> AsyncIterator[Service]:
    """Serve, with TLS if there is a certificate, asking for one if there is an authority."""
    service = Service()
    server = grpc.aio.server()
    validate = grpc.unary_unary_rpc_method_handler(
        service.validate, pb.ValidateRequest.FromString, pb.ValidateResponse.SerializeToString
    )
    watch = grpc.unary_stream_rpc_method_handler(
        service.watch,
        trust_pb.WatchTrustRequest.FromString,
        trust_pb.WatchTrustResponse.SerializeToString,
    )
    offered: dict[str, dict[str, Any]] = {
        "TokenService": {"Validate": validate},
        "TrustService": {"WatchTrust": watch},
    }
    for name, methods in offered.items():
        handler = grpc.method_handlers_generic_handler(f"tokenservice.v1.{name}", methods)
        server.add_generic_rpc_handlers((handler,))
    listen = host if host.startswith("unix:") else f"{host}:{port}"
    if certificate is None:
        service.port = server.add_insecure_port(listen)
    else:
        credentials = grpc.ssl_server_credentials(
            [(certificate.key, certificate.certificate)],
            client_authority.certificate if client_authority else None,
            require_client_auth=client_authority is not None,
        )
        service.port = server.add_secure_port(listen, credentials)
    service.address = listen if host.startswith("unix:") else f"{host}:{service.port}"
    await server.start()
    try:
        yield service
    finally:
        await server.stop(None)


async def call(connection: Connection, within: float = PATIENCE, effort: Effort = READ) -> None:
    """Make one call. Raises TokenServiceError."""
    request = pb.ValidateRequest(token="t", audience="a")
    timeout = timedelta(seconds=within)
    await Calls(connection).call(lambda stubs: stubs.tokens.Validate, request, effort, timeout)


async def once(connection: Connection) -> None:
    """A call that is not repeated. Raises Unreachable."""
    stubs = connection.stubs()
    request = pb.ValidateRequest(token="t", audience="a")
    try:
        await stubs.tokens.Validate(request, timeout=PATIENCE, metadata=await connection.metadata())
    except grpc.RpcError as failed:
        error = error_of(failed)
        assert isinstance(error, Unreachable)
        connection.failed(stubs, error)
        raise error from None
