"""Server reflection: what grpcurl and the like find, in both versions of the protocol."""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc import StatusCode
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped]

from tests.rpc.echo import connected, failure, serving, stream_stream
from token_service.rpc.health import SERVICE

REFLECT = "/grpc.reflection.{}.ServerReflection/ServerReflectionInfo"
VERSIONS = pytest.mark.parametrize("version", ["v1", "v1alpha"])


async def reflect(
    channel: grpc.aio.Channel, version: str, **question: Any
) -> reflection_pb2.ServerReflectionResponse:
    """Ask one thing; the messages of both versions are the same on the wire."""
    call = stream_stream(channel, REFLECT.format(version))()
    await call.write(reflection_pb2.ServerReflectionRequest(**question).SerializeToString())
    answer = reflection_pb2.ServerReflectionResponse.FromString(await call.read())
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    return answer


@VERSIONS
async def test_reflection_can_be_switched(version: str) -> None:
    async with serving() as world, connected(world) as channel:
        call = stream_stream(channel, REFLECT.format(version))()
        assert (await failure(call.read())).code is StatusCode.UNIMPLEMENTED
    async with serving(reflection=True) as world, connected(world) as channel:
        answer = await reflect(channel, version, list_services="")
        names = {service.name for service in answer.list_services_response.service}
        assert names == {
            SERVICE.full_name,
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        }


@VERSIONS
@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("TokenService", "token_service"),
        ("TokenService.Validate", "token_service"),
        ("ValidateRequest", "token_service"),
        ("ValidateRequest.token", "token_service"),
        ("RevokeRequest.target", "token_service"),
        ("Verdict", "types"),
        ("VERDICT_ACTIVE", "types"),
        ("Verdict.VERDICT_ACTIVE", "types"),
    ],
)
async def test_reflection_finds_what_people_describe(version: str, symbol: str, file: str) -> None:
    """Services, methods, messages, fields, oneofs, enums and their values."""
    async with serving(reflection=True) as world, connected(world) as channel:
        answer = await reflect(channel, version, file_containing_symbol=f"tokenservice.v1.{symbol}")
    found = FileDescriptorProto.FromString(answer.file_descriptor_response.file_descriptor_proto[0])
    assert found.name == f"tokenservice/v1/{file}.proto"


@VERSIONS
async def test_reflection_describes_itself_and_finds_nothing_else(version: str) -> None:
    service = f"grpc.reflection.{version}.ServerReflection"
    async with serving(reflection=True) as world, connected(world) as channel:
        own = await reflect(channel, version, file_containing_symbol=service)
        own_method = await reflect(
            channel, version, file_containing_symbol=f"{service}.ServerReflectionInfo"
        )
        for symbol in ("tokenservice.v1.TokenService.Nope", "tokenservice.v1.Nope", "nope", ""):
            answer = await reflect(channel, version, file_containing_symbol=symbol)
            assert answer.error_response.error_code == StatusCode.NOT_FOUND.value[0]
    assert own.file_descriptor_response == own_method.file_descriptor_response
    [file] = own.file_descriptor_response.file_descriptor_proto
    assert FileDescriptorProto.FromString(file).package == f"grpc.reflection.{version}"
