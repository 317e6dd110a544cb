"""Which connections have to end, decided at moments that the test chooses."""

import pytest

from token_service.rpc.network.connections import Connection, ConnectionLimits, Connections
from token_service.rpc.network.peers import ABANDONED, ABANDONED_BY_STRANGERS, REFUSED, Peers

LIMITS = ConnectionLimits(most_per_address=3, stranger_bytes=1_000, stranger_bytes_per_second=100)


class Watched:
    """What would be ended, decided at moments that the test chooses."""

    def __init__(self) -> None:
        self.now = 50.0
        self.peers = Peers(lambda: self.now)
        self._connections = Connections(1, self.peers, LIMITS)

    def ended(self, *found: Connection) -> dict[str, str]:
        superfluous = self._connections.superfluous(found, self.now)
        return {connection.peer: reason for connection, reason in superfluous}


@pytest.fixture
def watched() -> Watched:
    return Watched()


def one(peer: str, address: str = "", received: int = 0) -> Connection:
    return Connection(0, peer, address or peer, received)


def test_who_calls_as_no_client_may_send_little(watched: Watched) -> None:
    assert watched.ended(one("a", received=1_000), one("b", received=1_001)) == {
        "b": "too much without a client"
    }
    watched.now += 10
    assert watched.ended(one("a", received=2_000)) == {}
    assert list(watched.ended(one("a", received=2_001))) == ["a"]
    watched.peers.recognise("a")
    assert watched.ended(one("a", received=10**9)) == {}


def test_a_client_that_has_gone_is_forgotten(watched: Watched) -> None:
    watched.peers.recognise("a")
    watched.ended(one("a"))
    watched.ended()
    watched.ended()
    assert list(watched.ended(one("a", received=1_001))) == ["a"]


def test_a_client_that_comes_while_connections_are_looked_at_is_known(watched: Watched) -> None:
    watched.peers.recognise("a")
    watched.ended(one("b"))  # found before the client had connected
    assert watched.ended(one("a", received=10**9), one("b")) == {}
    assert watched.ended(one("a", received=10**9), one("b")) == {}


def test_of_a_crowd_the_newest_end(watched: Watched) -> None:
    early = [one(f"early {number}", "x") for number in range(3)]
    assert watched.ended(*early, one("y")) == {}
    watched.now += 1
    late = [one("late 1", "x"), one("late 2", "x")]
    assert watched.ended(*late, *early, one("z")) == {
        "late 1": "too many from one address",
        "late 2": "too many from one address",
    }
    assert watched.ended(*late, *early[1:]) == {"late 2": "too many from one address"}


def test_a_place_is_kept_for_clients_by_ending_the_oldest_strangers() -> None:
    peers = Peers(lambda: 0.0)
    connections = Connections(1, peers, ConnectionLimits(most=8))

    def ended(now: float, *names: str) -> list[str]:
        crowd = [one(name) for name in names]
        return [connection.peer for connection, _ in connections.superfluous(crowd, now)]

    assert ended(1, "a", "b", "c") == []
    peers.recognise("b")
    assert ended(2, "c", "b", "a", "d", "e", "f") == []
    assert ended(3, *"hgfedcba") == ["c", "a"]
    for client in "abcdefgh":
        peers.recognise(client)
    assert ended(4, *"hgfedcba") == []


def test_who_gives_up_too_many_calls_ends_and_gets_no_answers(watched: Watched) -> None:
    for _ in range(ABANDONED_BY_STRANGERS.burst):
        watched.peers.abandoned("a")
        watched.peers.abandoned("b")
    assert not watched.peers.condemned("a")
    watched.peers.abandoned("a")
    assert watched.peers.condemning.is_set()
    assert watched.ended(one("a"), one("b")) == {"a": "calls that come to nothing"}
    watched.now += 1
    assert watched.peers.condemned("a")  # what comes late from it is known as such
    watched.now += 60
    watched.ended(one("b"))
    assert not watched.peers.condemned("a")


def test_who_is_only_refused_ends(watched: Watched) -> None:
    watched.peers.recognise("client")
    for _ in range(REFUSED.burst + 1):
        assert not watched.peers.condemned("a")
        watched.peers.refused("a")
        watched.peers.refused("client")
    assert watched.ended(one("a"), one("client")) == {"a": "calls that come to nothing"}


def test_a_client_may_give_up_more_calls_than_a_stranger(watched: Watched) -> None:
    watched.peers.recognise("a")
    for _ in range(ABANDONED.burst):
        watched.peers.abandoned("a")
    assert not watched.peers.condemned("a")
    watched.peers.abandoned("a")
    assert watched.peers.condemned("a")
