"""A caller of the service: generated stubs with one client's credentials."""

import base64
import os
from typing import Any, Self

import grpc
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from tokenservice.v1 import (
    client_service_pb2_grpc,
    code_service_pb2_grpc,
    key_service_pb2_grpc,
    pairing_service_pb2_grpc,
    session_service_pb2_grpc,
    token_service_pb2,
    token_service_pb2_grpc,
    trust_service_pb2_grpc,
    types_pb2,
    user_service_pb2_grpc,
)

Metadata = tuple[tuple[str, str], ...]


def basic(client_id: str, client_secret: str) -> str:
    """The value of the `authorization` header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()


def exchange_id() -> bytes:
    """A fresh exchange id."""
    return os.urandom(16)


class Api:
    """All services at one address; calls take `metadata=self.metadata` through the helpers."""

    def __init__(
        self,
        address: str,
        authorization: str,
        tls: grpc.ChannelCredentials | None = None,
        /,
        **options: int | str,
    ) -> None:
        # A channel of its own: channels to one address otherwise share a connection.
        channel_options = {"use_local_subchannel_pool": 1, **options}
        arguments = [(f"grpc.{name}", value) for name, value in channel_options.items()]
        self.channel = (
            grpc.aio.secure_channel(address, tls, options=arguments)
            if tls
            else grpc.aio.insecure_channel(address, options=arguments)
        )
        self.address = address
        self.metadata: Metadata = (("authorization", authorization),)
        self.tokens = token_service_pb2_grpc.TokenServiceStub(self.channel)
        self.trust = trust_service_pb2_grpc.TrustServiceStub(self.channel)
        self.sessions = session_service_pb2_grpc.SessionServiceStub(self.channel)
        self.clients = client_service_pb2_grpc.ClientServiceStub(self.channel)
        self.users = user_service_pb2_grpc.UserServiceStub(self.channel)
        self.codes = code_service_pb2_grpc.CodeServiceStub(self.channel)
        self.pairings = pairing_service_pb2_grpc.PairingServiceStub(self.channel)
        self.keys = key_service_pb2_grpc.KeyServiceStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    async def login(
        self,
        username: str,
        password: str,
        *,
        platform: int = types_pb2.PLATFORM_WEB,
        **request: Any,
    ) -> types_pb2.TokenSet:
        """Issue by password."""
        credential = token_service_pb2.PasswordCredential(username=username, password=password)
        issued = await self.tokens.Issue(
            token_service_pb2.IssueRequest(
                password=credential,
                platform=platform,  # type: ignore[arg-type]
                **request,
            ),
            metadata=self.metadata,
        )
        return issued.tokens

    async def exchange(
        self, token: str, exchange_id: bytes = b"", **request: Any
    ) -> token_service_pb2.ExchangeResponse:
        """Exchange."""
        return await self.tokens.Exchange(
            token_service_pb2.ExchangeRequest(token=token, exchange_id=exchange_id, **request),
            metadata=self.metadata,
        )

    async def validate(
        self, token: str, audience: str = "orders", **request: Any
    ) -> token_service_pb2.ValidateResponse:
        """Validate."""
        return await self.tokens.Validate(
            token_service_pb2.ValidateRequest(token=token, audience=audience, **request),
            metadata=self.metadata,
        )

    async def verdict(self, token: str, audience: str = "orders", **request: Any) -> str:
        """The verdict's name without its prefix."""
        response = await self.validate(token, audience, **request)
        return types_pb2.Verdict.Name(response.verdict).removeprefix("VERDICT_")

    async def revoke(self, **target: Any) -> token_service_pb2.RevokeResponse:
        """Revoke."""
        return await self.tokens.Revoke(
            token_service_pb2.RevokeRequest(**target), metadata=self.metadata
        )


def reason_of(error: grpc.RpcError) -> str:
    """The ErrorInfo reason of a failed call, empty when it has none."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""
