"""What both kinds of gRPC server do alike: which method demands what, and how a call is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import grpc
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from tokenservice.middleware._bearer import bearer
from tokenservice.middleware._common import (
    MISSING_TOKEN,
    Refusal,
    Refused,
    thumbprint,
)
from tokenservice.middleware._routes import Route

if TYPE_CHECKING:
    from google.protobuf.message import Message

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behavior: TypeAlias = Callable[[Any, Any], Any]
Resolver: TypeAlias = Callable[[grpc.HandlerCallDetails], Route | None]

DOMAIN: Final = "tokenservice"
"""The domain of :class:`google.rpc.ErrorInfo`; its reason is the refusal's error in capitals."""

_EVERY: Final = "*"
_CODES: Final = {
    400: grpc.StatusCode.UNAUTHENTICATED,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
}
_TEXTS: Final = {
    "invalid_request": "one authorization value with one token is needed",
    "invalid_token": "the token is not accepted",
    "insufficient_scope": "the token does not allow this",
    "insufficient_user_authentication": "a more recent or stronger login is needed",
    "route_not_listed": "no rule names this method",
    "temporarily_unavailable": "the token cannot be checked at the moment",
}
_FACTORIES: Final = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class MethodTable:
    """Routes by method: ``"/package.Service/Method"``, or ``"/package.Service/*"`` for the rest."""

    def __init__(self, methods: Mapping[str, Route]) -> None:
        """Raise ValueError for a key that names no method."""
        for key in methods:
            if key.count("/") != 2 or not key.startswith("/") or key.endswith("/"):
                raise ValueError(f"not a method: {key!r}")
        self._methods = dict(methods)

    def __call__(self, details: grpc.HandlerCallDetails) -> Route | None:
        """Give what is demanded, None for a method that no key names."""
        found = self._methods.get(details.method)
        if found is not None:
            return found
        service, _, _ = details.method.rpartition("/")
        return self._methods.get(f"{service}/{_EVERY}")


def resolver(methods: Mapping[str, Route] | Resolver) -> Resolver:
    """Make a table callable; leave a function as it is."""
    return MethodTable(methods) if isinstance(methods, Mapping) else methods


def token_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Give the token of a call; raises Refused unless there is exactly one."""
    values = [value for key, value in metadata if key == "authorization"]
    token = bearer([value for value in values if isinstance(value, str)])
    if token is None:
        raise Refused(MISSING_TOKEN)
    return token


def peer_thumbprint(auth_context: Mapping[str, Iterable[bytes]]) -> bytes:
    """Read the client's certificate from a connection with mTLS; b"" where there is none."""
    for pem in auth_context.get("x509_pem_cert", ()):
        return thumbprint(pem.decode("latin-1"))
    return b""


class Abort(NamedTuple):
    """How a call ends: arguments for the context."""

    code: grpc.StatusCode
    text: str
    trailing: tuple[tuple[str, str | bytes], ...]


def abort_of(refusal: Refusal) -> Abort:
    """Give the status, its details and the trailing metadata that go with a refusal."""
    code = _CODES.get(refusal.status, grpc.StatusCode.UNAVAILABLE)
    text = _TEXTS.get(refusal.error, "a token is needed")
    status = Status(code=code.value[0], message=text)
    reason = (refusal.error or "missing_token").upper()
    _attach(status, ErrorInfo(domain=DOMAIN, reason=reason))
    if refusal.retry_after is not None:
        _attach(status, RetryInfo(retry_delay=refusal.retry_after))
    trailing: list[tuple[str, str | bytes]] = [
        ("grpc-status-details-bin", status.SerializeToString())
    ]
    if refusal.www_authenticate:
        trailing.append(("www-authenticate", refusal.www_authenticate))
    return Abort(code, text, tuple(trailing))


def behavior_of(handler: Handler) -> Behavior:
    """Give the application's function."""
    shapes = (
        handler.unary_unary,
        handler.unary_stream,
        handler.stream_unary,
        handler.stream_stream,
    )
    return next(behavior for behavior in shapes if behavior is not None)


def with_behavior(handler: Handler, behavior: Behavior) -> Handler:
    """Make a handler of the same shape that calls another function."""
    make = _FACTORIES[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(behavior, handler.request_deserializer, handler.response_serializer)


def _attach(status: Status, detail: Message) -> None:
    status.details.add().Pack(detail)
