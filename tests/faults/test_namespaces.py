"""A namespace loses packets in silence, and a cluster has a member in it."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.namespaces import Namespace, lacking_namespaces
from tests.support.store_fixtures import StartCluster

pytestmark = pytest.mark.stores


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    if why := lacking_namespaces():
        pytest.skip(why)
    with Namespace() as made:
        yield made


def test_a_primary_is_lost_in_silence(namespace: Namespace, start_cluster: StartCluster) -> None:
    cluster = start_cluster(namespace=namespace)
    lost = cluster.primary
    lost.sql("CREATE TABLE kept (n int)")
    address = (namespace.address, lost.port)
    with socket.create_connection(address) as before:
        namespace.cut()
        before.settimeout(0.5)
        before.sendall(b"\0\0\0\x08\x04\xd2\x16/")  # SSLRequest: the server would answer at once
        with pytest.raises(TimeoutError):
            before.recv(1)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.5)
        cluster.promote(cluster.most_advanced())
        (other,) = (one for one in cluster.standbys if one is not lost)
        cluster.repoint(other)
        assert not lost.in_recovery()
        assert cluster.primary.sql("SELECT count(*) FROM kept") == "0"
    namespace.mend()
    cluster.rejoin(lost)
    cluster.wait_for_replay(lost)
