"""A port that is held for several processes, and for nobody else."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.waiting import PATIENCE
from token_service.app.errors import StartupError
from token_service.app.processes.reservation import reserved

GREETINGS = 16


def hold(address: str) -> None:
    with reserved(address):
        pass


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """As a worker does."""
    host, _, port = address.rpartition(":")
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((host, int(port)))
        server.listen()
        server.settimeout(10)
        yield server


def test_port_0_becomes_one_port_for_all() -> None:
    with reserved("127.0.0.1:0") as address, ExitStack() as stack:
        host, _, port = address.rpartition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        for _ in range(2):
            stack.enter_context(listening(address))


def test_nothing_is_accepted_by_who_only_holds_the_port() -> None:
    with reserved("127.0.0.1:0") as address:
        place = ("127.0.0.1", int(address.rpartition(":")[2]))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place, timeout=PATIENCE)
        with listening(address) as server:
            for _ in range(GREETINGS):
                with socket.create_connection(place, timeout=PATIENCE):
                    server.accept()[0].close()


def test_a_port_is_kept_while_nobody_listens() -> None:
    with reserved("127.0.0.1:0") as address:
        with listening(address):
            pass
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", int(address.rpartition(":")[2])))
        with listening(address):
            pass


def test_another_instance_is_noticed_though_it_would_share() -> None:
    taken = pytest.raises(StartupError, match=r"^TOKEN_SERVICE_GRPC_LISTEN: .* in use")
    with reserved("127.0.0.1:0") as address, taken:
        hold(address)
    with reserved(address) as again:
        assert again == address


def test_connections_that_linger_are_not_in_the_way() -> None:
    """Those of a server without workers: it does not share its port."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        host, port = server.getsockname()
        with socket.create_connection((host, port), timeout=PATIENCE) as caller:
            server.accept()[0].close()  # who closes first keeps it for a minute
            assert caller.recv(1) == b""
    with reserved(f"{host}:{port}") as address, listening(address), pytest.raises(StartupError):
        hold(address)
    with reserved(address), pytest.raises(StartupError):
        hold(address)


@pytest.mark.parametrize("host", ["localhost", "[::]", "0.0.0.0"])  # noqa: S104 - loopback alone calls
def test_a_name_and_everywhere_can_be_held(host: str) -> None:
    with reserved(f"{host}:0") as address:
        assert address.rpartition(":")[0] == host
        with pytest.raises(StartupError), reserved(address):
            pytest.fail("two supervisors hold one port")


def test_a_name_that_means_nothing_is_told() -> None:
    with pytest.raises(StartupError, match=r"^TOKEN_SERVICE_GRPC_LISTEN: cannot listen"):
        hold("no-such-host.invalid:50051")
