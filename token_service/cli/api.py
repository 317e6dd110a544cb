"""Calls to the service by its gRPC API, as any other caller makes them."""

import base64
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import grpc

from token_service.cli import demo_file
from token_service.cli.output import Output
from token_service.cli.problems import CliError
from token_service.cli.target import Identity, Target, Wishes, resolve
from tokenservice._transport.channels import ChannelSettings
from tokenservice.v1.client_service_pb2_grpc import ClientServiceStub
from tokenservice.v1.code_service_pb2_grpc import CodeServiceStub
from tokenservice.v1.key_service_pb2_grpc import KeyServiceStub
from tokenservice.v1.pairing_service_pb2_grpc import PairingServiceStub
from tokenservice.v1.session_service_pb2_grpc import SessionServiceStub
from tokenservice.v1.token_service_pb2_grpc import TokenServiceStub
from tokenservice.v1.trust_service_pb2_grpc import TrustServiceStub
from tokenservice.v1.user_service_pb2_grpc import UserServiceStub

Request = TypeVar("Request")
Response = TypeVar("Response")

_CLIENT_ID_HEADER = "x-client-id"

DEMO_ADMIN = "demo-admin"
DEMO_GATEWAY = "demo-gateway"
DEMO_WEB = "demo-web"
DEMO_MOBILE = "demo-mobile"
DEMO_API = "demo-api"


class Api:
    """The service's stubs, and a caller. Connects at the first call.

    `caller` is the development server's client to call as where nobody was named, `anonymous`
    whether nobody is called as then; a command may change both until the first call.
    """

    def __init__(
        self, wishes: Wishes, out: Output, *, caller: str, anonymous: bool, timeout: float
    ) -> None:
        self.out = out
        self.caller = caller
        self._wishes = wishes
        self.anonymous = anonymous
        self._timeout = timeout

    @cached_property
    def target(self) -> Target:
        """Where calls go, and as whom."""
        return resolve(self._wishes, self.caller, anonymous=self.anonymous)

    @cached_property
    def _channel(self) -> grpc.Channel:
        target = self.target
        options = ChannelSettings().options(target.address, secure=target.tls)
        if not target.tls:
            return grpc.insecure_channel(target.address, options)
        wishes = self._wishes
        if (wishes.certificate_file is None) != (wishes.key_file is None):
            raise CliError("--cert and --cert-key go together")
        files = (wishes.ca_file, wishes.key_file, wishes.certificate_file)
        roots, key, chain = (None if file is None else _bytes(file) for file in files)
        credentials = grpc.ssl_channel_credentials(roots, key, chain)
        return grpc.secure_channel(target.address, credentials, options)

    @cached_property
    def tokens(self) -> TokenServiceStub:
        """TokenService."""
        return TokenServiceStub(self._channel)

    @cached_property
    def sessions(self) -> SessionServiceStub:
        """SessionService."""
        return SessionServiceStub(self._channel)

    @cached_property
    def clients(self) -> ClientServiceStub:
        """ClientService."""
        return ClientServiceStub(self._channel)

    @cached_property
    def users(self) -> UserServiceStub:
        """UserService."""
        return UserServiceStub(self._channel)

    @cached_property
    def keys(self) -> KeyServiceStub:
        """KeyService."""
        return KeyServiceStub(self._channel)

    @cached_property
    def codes(self) -> CodeServiceStub:
        """CodeService."""
        return CodeServiceStub(self._channel)

    @cached_property
    def pairings(self) -> PairingServiceStub:
        """PairingService."""
        return PairingServiceStub(self._channel)

    @cached_property
    def trust(self) -> TrustServiceStub:
        """TrustService."""
        return TrustServiceStub(self._channel)

    def choose(self, caller: str, client_id: str = "") -> None:
        """Call as another client of the development server, the one with `client_id` if it has it,
        where nobody was named."""
        demo = None if self._wishes.client_id else demo_file.read(self._wishes.data_dir)
        self.caller = (demo.name_of(client_id) if demo and client_id else None) or caller

    def call(
        self, method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request
    ) -> Response:
        """Make one call. Raises grpc.RpcError."""
        return method(request, timeout=self._timeout, metadata=self._metadata())

    def watch(
        self, method: "grpc.UnaryStreamMultiCallable[Request, Response]", request: Request
    ) -> Iterator[Response]:
        """Follow a stream without a time limit. Raises grpc.RpcError."""
        return iter(method(request, metadata=self._metadata()))

    def show_way(self) -> None:
        """Say what was called and how: for whoever wonders why nobody answers."""
        target, authorities = self.target, self._wishes.ca_file
        if not target.tls:
            self.out.note(f"called {target.address} without TLS; --ca FILE calls with it")
            return
        trusted = (
            f"the authorities in {authorities}" if authorities else "this machine's authorities"
        )
        self.out.note(f"called {target.address} with TLS; trusts {trusted} (--ca FILE: others)")

    def close(self) -> None:
        """Close the connection, if there is one."""
        if "_channel" in self.__dict__:
            self._channel.close()

    def _metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        identity = self.target.identity
        if identity is None:
            return ()
        if not identity.client_secret:
            return ((_CLIENT_ID_HEADER, identity.client_id),)
        return (("authorization", authorization(identity)),)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CliError(f"cannot read {path}: {error.strerror}") from None


def authorization(identity: Identity) -> str:
    """Return the value of the authorization header (RFC 7617)."""
    pair = f"{identity.client_id}:{identity.client_secret}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
