"""What a call's metadata and connection say."""

import pytest

from token_service.domain.addresses import counted_network
from token_service.rpc.admission import Envelope, peer_address, request_ids
from token_service.usecases.clients.authenticate_caller import is_bearer


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:4711", "192.0.2.7"),
        ("ipv6:%5B2001:db8::1%5D:4711", "2001:db8::1"),
        ("ipv6:[::1]:4711", "::1"),
        ("unix:/run/s", ""),
        ("unix:", ""),
        ("", ""),
    ],
)
def test_the_peers_address(peer: str, address: str) -> None:
    assert peer_address(peer) == address


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.8", False),
        ("", "", True),
    ],
)
def test_anonymous_callers_are_counted_by_what_one_host_has(
    one: str, other: str, same: bool
) -> None:
    assert (counted_network(one) == counted_network(other)) == same


@pytest.mark.parametrize(
    ("authorization", "bearer"),
    [("Bearer x", True), ("bEARER x", True), ("Basic x", False), ("Bearerx", False), ("", False)],
)
def test_an_access_token_is_told_from_other_credentials(authorization: str, bearer: bool) -> None:
    assert is_bearer(authorization) == bearer


def test_request_ids_are_unique() -> None:
    ids, others = request_ids(), request_ids()
    made = [ids() for _ in range(1_000)] + [others() for _ in range(1_000)]
    assert len(set(made)) == len(made)


def test_the_envelope_counts_authorizations() -> None:
    metadata = (
        ("user-agent", "x"),
        ("authorization", "Basic a"),
        ("authorization", "Basic b"),
        ("x-client-id", "alice"),
        ("x-request-id", "mine"),
    )
    envelope = Envelope(metadata, lambda: "drawn")
    assert envelope.authorizations == 2
    assert (envelope.client_id, envelope.request_id) == ("alice", "mine")
    assert Envelope((), lambda: "drawn").request_id == "drawn"
