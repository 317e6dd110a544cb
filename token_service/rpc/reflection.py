"""Server reflection: what grpcurl and the like ask before they call, in both its versions."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import Default, DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped]
from grpc_reflection.v1alpha.reflection import (  # type: ignore[import-untyped]
    aio as reflection,
)

from token_service.rpc.methods import Method, Shape

_FORMER, _PRESENT = "grpc.reflection.v1alpha", "grpc.reflection.v1"
_FILE = "grpc/reflection/v1/reflection.proto"


def _present_version(pool: DescriptorPool) -> FileDescriptor:
    """The protocol under its present name, of which the library has no messages: they are those
    of v1alpha in another package."""
    try:
        return pool.FindFileByName(_FILE)
    except KeyError:
        pass
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = _FILE, _PRESENT
    file.ClearField("options")
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = _renamed(field.type_name)
    for method in file.service[0].method:
        method.input_type = _renamed(method.input_type)
        method.output_type = _renamed(method.output_type)
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(_FILE)


def _renamed(type_name: str) -> str:
    return type_name.replace(f".{_FORMER}.", f".{_PRESENT}.")


SERVICES: Sequence[ServiceDescriptor] = tuple(
    file.services_by_name["ServerReflection"]
    for file in (reflection_pb2.DESCRIPTOR, _present_version(Default()))
)
"""v1alpha, which older tools know, and v1."""


@cache
def _with_comments() -> Mapping[str, bytes]:
    """The API's files by their names, with the comments that the stubs' descriptors lack. Read at
    the first question: most servers are never asked."""
    generated = files("tokenservice.v1") / "descriptors.binpb"
    read = FileDescriptorSet.FromString(generated.read_bytes())
    return {file.name: file.SerializeToString() for file in read.file}


class _File:
    """What the library tells of a file, with its comments where we have them."""

    def __init__(self, file: FileDescriptor) -> None:
        self._file = file
        self.name = file.name

    @property
    def dependencies(self) -> list["_File"]:
        """The files that it imports."""
        return [_File(one) for one in self._file.dependencies]

    def CopyToProto(self, proto: FileDescriptorProto) -> None:  # noqa: N802 - the descriptor's
        """Fill in the whole file."""
        commented = _with_comments().get(self.name)
        if commented is None:
            self._file.CopyToProto(proto)
        else:
            proto.ParseFromString(commented)


class _Symbols:
    """The pool of all descriptors, with comments, and with the symbols that it does not find by
    itself: methods, enum values as grpcurl names them (`Verdict.VERDICT_ACTIVE`), and in its
    implementation without native code oneofs."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the pool's own methods
        return getattr(self._pool, name)

    def FindFileByName(self, name: str) -> _File:  # noqa: N802 - the pool's
        """The file of that name. Raises KeyError."""
        return _File(self._pool.FindFileByName(name))

    def FindFileContainingSymbol(self, symbol: str) -> _File:  # noqa: N802 - the pool's
        """The file that declares it. Raises KeyError."""
        return _File(self._containing(symbol))

    def _containing(self, symbol: str) -> FileDescriptor:
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            parent, _, name = symbol.rpartition(".")
            file = self._pool.FindFileContainingSymbol(parent)
        for find in (self._method, self._oneof, self._enum_value):
            with suppress(KeyError):
                find(parent, name)
                return file
        raise KeyError(symbol)

    def _method(self, service: str, name: str) -> None:
        self._pool.FindServiceByName(service).methods_by_name[name]

    def _oneof(self, message: str, name: str) -> None:
        self._pool.FindMessageTypeByName(message).oneofs_by_name[name]

    def _enum_value(self, enum: str, name: str) -> None:
        self._pool.FindEnumTypeByName(enum).values_by_name[name]


def methods(offered: Iterable[str]) -> tuple[Method, ...]:
    """The methods that answer about the services `offered`, by their full names, and about
    themselves."""
    names = [*offered, *(service.full_name for service in SERVICES)]
    servicer = reflection.ReflectionServicer(names, _Symbols(Default()))
    return tuple(
        Method(
            name=f"/{service.full_name}/{service.methods[0].name}",
            shape=Shape.DIALOGUE,
            request=reflection_pb2.ServerReflectionRequest,  # on the wire they are the same
            handler=lambda _, requests: servicer.ServerReflectionInfo(requests, None),
        )
        for service in SERVICES
    )
