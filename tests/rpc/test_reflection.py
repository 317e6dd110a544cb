"""Server reflection: what grpcurl and the like find, in both versions of the protocol."""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import Default
from grpc import StatusCode
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped]

from tests.rpc.echo import connected, failure, serving, stream_stream
from tests.support.servers import ROOT
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


def comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """What is said above each thing, by its path in the file."""
    info = file.source_code_info.location
    return {tuple(one.path): one.leading_comments for one in info if one.leading_comments}


@VERSIONS
@pytest.mark.parametrize(
    "question",
    [
        {"file_containing_symbol": "tokenservice.v1.TokenService.Validate"},
        {"file_by_filename": "tokenservice/v1/token_service.proto"},
    ],
)
async def test_reflection_tells_the_comments(version: str, question: dict[str, str]) -> None:
    async with serving(reflection=True) as world, connected(world) as channel:
        answer = (await reflect(channel, version, **question)).file_descriptor_response
    told = {
        file.name: file
        for file in map(FileDescriptorProto.FromString, answer.file_descriptor_proto)
    }
    file = told.pop("tokenservice/v1/token_service.proto")
    validate = [method.name for method in file.service[0].method].index("Validate")
    service, method = (comments(file)[path] for path in ((6, 0), (6, 0, 2, validate)))
    proto = (ROOT / "protos" / file.name).read_text()
    for said in (service, method):
        assert said.strip()
        assert all(f"// {line.strip()}" in proto for line in said.splitlines() if line.strip())
    # What it imports comes along, with comments where it is ours.
    assert comments(told["tokenservice/v1/types.proto"])
    assert not comments(told["google/protobuf/timestamp.proto"])


def forget_json_names(message: DescriptorProto) -> None:
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        forget_json_names(nested)


async def test_what_reflection_tells_is_what_is_served() -> None:
    """But for the comments, and the names in JSON that the compiler spells out."""
    protos = [path.name for path in (ROOT / "protos/tokenservice/v1").glob("*.proto")]
    async with serving(reflection=True) as world, connected(world) as channel:
        for name in protos:
            answer = await reflect(channel, "v1", file_by_filename=f"tokenservice/v1/{name}")
            [file, *_] = answer.file_descriptor_response.file_descriptor_proto
            told, served = FileDescriptorProto.FromString(file), FileDescriptorProto()
            Default().FindFileByName(told.name).CopyToProto(served)
            assert comments(told)
            told.ClearField("source_code_info")
            for message in told.message_type:
                forget_json_names(message)
            assert told == served


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
