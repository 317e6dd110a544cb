"""Whatever happens to deltas and heartbeats on the way: no token passes that was revoked longer
ago than the limit, by a view that calls itself fresh."""

from dataclasses import dataclass, field

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.support.feed_messages import delta, heartbeat, key_message, message, snapshot
from tests.support.hands import HandClock
from tests.support.tokens import NOW, entry, facts
from tokenservice._decisions.local_validator import LocalValidator
from tokenservice._validator.feed import FeedBroken, FeedReader
from tokenservice.core import TrustEntry, TrustEntryKind
from tokenservice.v1 import trust_service_pb2 as pb

LIMIT = 5.0
EVERYTHING = TrustEntryKind.EVERYTHING


@dataclass
class Server:
    """A log, what this node has read of it and when, and a clock that is off by `skew`."""

    hand: HandClock
    skew: float = 0.0
    epoch: int = 1
    log: list[TrustEntry] = field(default_factory=list)
    seen: list[TrustEntry] = field(default_factory=list)
    seen_epoch: int = 1
    read_at: float = 0.0
    told: int = 0

    def read(self) -> None:
        self.seen, self.seen_epoch = list(self.log), self.epoch
        self.read_at = self.hand.reading

    @property
    def revision(self) -> int:
        return self.seen[-1].revision if self.seen else 0

    def _head(self) -> pb.WatchTrustResponse:
        name = f"2b1c1d5e-0000-4000-8000-{self.seen_epoch:012d}"
        return message(
            self.revision, self._unix(self.read_at), self._unix(self.hand.reading), epoch=name
        )

    def _unix(self, boot: float) -> float:
        return NOW + boot + self.skew

    def open(self, request: pb.WatchTrustRequest) -> list[pb.WatchTrustResponse]:
        """The first messages of a stream."""
        head = self._head()
        self.told = self.revision
        if request.epoch == head.epoch and request.from_revision <= self.revision:
            return [self._delta(request.from_revision)]
        half = len(self.seen) // 2
        return [
            snapshot(self._head(), self.seen[:half], [key_message()], last=False),
            snapshot(self._head(), self.seen[half:]),
        ]

    def next(self) -> pb.WatchTrustResponse:
        """What it sends by itself."""
        if self.told == self.revision:
            return heartbeat(self._head())
        sent = self._delta(self.told)
        self.told = self.revision
        return sent

    def _delta(self, above: int) -> pb.WatchTrustResponse:
        return delta(self._head(), above, [one for one in self.seen if one.revision > above])


class Network:
    """A validator, a server, and messages on the way, which come late, twice, or never."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.hand = HandClock(anchored=False)
        self.server = Server(self.hand)
        self.local = LocalValidator(clock=self.hand.clock, staleness_limit=LIMIT)
        nothing = lambda: None  # noqa: E731
        self.reader = FeedReader(self.local.trust, self.hand.clock, nothing, nothing)
        self.on_the_way: list[pb.WatchTrustResponse] = []
        self.revoked: list[tuple[float, str]] = []
        self.server.read()
        self.connect()

    def connect(self) -> None:
        request = self.reader.begin()
        self.pass_time()
        self.on_the_way = self.server.open(request)

    def pass_time(self) -> None:
        self.hand.advance(self.data.draw(st.sampled_from([0.0, 0.001, 0.1, 1.0, 2.5, 7.0])))

    def revoke(self) -> None:
        name = f"s{len(self.revoked)}"
        head = self.server.log[-1].revision if self.server.log else 0
        self.server.log.append(entry(head + 1, TrustEntryKind.SESSION, name, keep_until=NOW * 2.0))
        self.revoked.append((self.hand.reading, name))

    def restore(self) -> None:
        """The log is lost, and another one refuses whatever was issued before."""
        head = self.server.log[-1].revision if self.server.log else 0
        self.server.epoch += 1
        self.server.log = [entry(head + 1000, EVERYTHING, "", keep_until=NOW * 2.0)]

    def send(self) -> None:
        self.server.read()
        self.on_the_way.append(self.server.next())

    def move_to_another_server(self) -> None:
        self.server.skew = self.data.draw(st.sampled_from([0.0, -3.0, 3.0, 600.0, -600.0]))
        self.connect()

    def set_the_clock(self) -> None:
        """In the middle of a stream, at a moment when nothing is held up."""
        while self.on_the_way:
            self.deliver()
        self.server.skew += self.data.draw(st.sampled_from([-3.0, -0.5, 0.5, 3.0, 600.0]))
        self.server.read()
        try:
            self.reader.apply(self.server.next())
        except FeedBroken:
            self.connect()

    def deliver(self) -> None:
        if not self.on_the_way:
            return
        at = self.data.draw(st.sampled_from([0, 0, 0, len(self.on_the_way) - 1]))
        fate = self.data.draw(st.sampled_from(["once", "once", "once", "once", "twice", "never"]))
        if self.on_the_way[at].HasField("snapshot"):
            fate = "once"
        arrived = self.on_the_way[at] if fate == "twice" else self.on_the_way.pop(at)
        if fate == "never":
            return
        try:
            self.reader.apply(arrived)
        except FeedBroken:
            event("broken")
            self.connect()

    def check(self) -> None:
        """The promise."""
        if not self.local.fresh:
            return
        event("fresh")
        for since, name in self.revoked:
            if self.hand.reading - since > LIMIT:
                assert self.local.trust.status(facts(session_id=name, rev=0)) is not None


OPERATIONS = [
    *[Network.deliver] * 6,
    *[Network.send] * 4,
    *[Network.revoke] * 3,
    *[Network.pass_time] * 3,
    Network.connect,
    Network.move_to_another_server,
    Network.set_the_clock,
    Network.restore,
]


@settings(max_examples=200)
@given(st.data())
def test_a_fresh_view_knows_what_was_revoked(data: st.DataObject) -> None:
    network = Network(data)
    for step in data.draw(st.lists(st.sampled_from(OPERATIONS), min_size=10, max_size=60)):
        step(network)
        network.check()


@settings(max_examples=50)
@given(st.data())
def test_it_is_fresh_again_when_the_network_is_well(data: st.DataObject) -> None:
    network = Network(data)
    for step in data.draw(st.lists(st.sampled_from(OPERATIONS), max_size=40)):
        step(network)
    network.server.read()
    for _ in range(2):  # a stream that was broken, and the one after it
        request = network.reader.begin()
        network.on_the_way = [*network.server.open(request), network.server.next()]
        try:
            for arrived in network.on_the_way:
                network.reader.apply(arrived)
        except FeedBroken:
            continue
        break
    assert network.local.fresh
    assert network.local.revision == network.server.revision
