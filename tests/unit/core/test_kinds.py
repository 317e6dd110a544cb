import subprocess
import sys
from enum import IntEnum

import pytest
from google.protobuf.descriptor import EnumDescriptor

from tokenservice.core import kinds
from tokenservice.v1 import trust_service_pb2, types_pb2


@pytest.mark.parametrize(
    ("enum", "descriptor", "prefix"),
    [
        (kinds.TokenKind, types_pb2.TokenKind.DESCRIPTOR, "TOKEN_KIND_"),
        (kinds.Platform, types_pb2.Platform.DESCRIPTOR, "PLATFORM_"),
        (kinds.Verdict, types_pb2.Verdict.DESCRIPTOR, "VERDICT_"),
        (kinds.AccessFormat, types_pb2.AccessFormat.DESCRIPTOR, "ACCESS_FORMAT_"),
        (kinds.TokenScheme, types_pb2.TokenScheme.DESCRIPTOR, "TOKEN_SCHEME_"),
        (kinds.RevocationReason, types_pb2.RevocationReason.DESCRIPTOR, "REVOCATION_REASON_"),
        (kinds.KeyState, types_pb2.KeyState.DESCRIPTOR, "KEY_STATE_"),
        (
            kinds.TrustEntryKind,
            trust_service_pb2.TrustEntryKind.DESCRIPTOR,
            "TRUST_ENTRY_KIND_",
        ),
        (kinds.TrustEffect, trust_service_pb2.TrustEffect.DESCRIPTOR, "TRUST_EFFECT_"),
    ],
)
def test_numbers_are_those_of_the_wire(
    enum: type[IntEnum], descriptor: EnumDescriptor, prefix: str
) -> None:
    ours = {prefix + member.name: member.value for member in enum}
    assert ours == {value.name: value.number for value in descriptor.values}


def test_the_core_loads_nothing_but_the_standard_library() -> None:
    listing = "import sys, tokenservice.core; print(*sorted(m.split('.')[0] for m in sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", listing], check=True, capture_output=True, text=True, timeout=60
    )
    loaded = set(run.stdout.split())
    assert "tokenservice" in loaded
    assert not loaded & {"cryptography", "google", "grpc", "jwt", "pydantic", "token_service"}
