"""What a target says of where it leads."""

import pytest
from grpc import StatusCode

from tokenservice import ClientSecret, Connection, Unreachable
from tokenservice._transport.addresses import lacks_port


@pytest.mark.parametrize(
    ("target", "lacks"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("[::1]", True),
        ("dns:///tokens.internal", True),
        ("ipv4:10.0.0.1:443,10.0.0.2", True),
        ("127.0.0.1:50051", False),
        ("[::1]:50051", False),
        ("dns:///tokens.internal:443", False),
        ("ipv4:10.0.0.1:443,10.0.0.2:443", False),
        ("unix:/run/tokens.sock", False),
    ],
)
def test_a_port_is_missed(target: str, lacks: bool) -> None:
    assert lacks_port(target) is lacks


def test_who_gave_no_port_is_told_which_one_was_tried() -> None:
    connection = Connection("127.0.0.1", ClientSecret("shop", "not a secret"))
    refused = Unreachable("", "failed to connect to all addresses", StatusCode.UNAVAILABLE)
    connection._explain(refused, ("127.0.0.1",))
    assert "443" in refused.hint
    assert refused.hint in str(refused)
    connection._explain(refused, ("127.0.0.1:50051",))
    assert refused.hint == ""
