"""What a message of the trust feed does to a validator's view: no network here, no waiting.

Freshness is kept in the terms of the local clock that never stops. A message says when the server
last knew its store to be the primary one (``read_time``) and when it was sent (``server_time``),
both by the server's clock. Two local readings relate that clock to ours: one from before the stream
was asked for, and one from when its first message had come; the server's clock was read between
them. Later messages may have lain in a buffer for any time, so they prove one thing only: that the
server's clock has got so far. Each stream stands for itself here, for the next one may be another
server's, whose clock is another; the verdicts' clock keeps the best of all samples.

What this cannot see is a server's clock that is set forward while messages are held up, by no
more than they are held up for: they then look that much younger than they are. Servers' clocks
are not set but slewed, and every stream is opened anew within minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenservice._validator.trust_messages import entries_of, keys_of, seconds_of
from tokenservice.core import AnchoredClock, TrustGap, TrustSnapshot
from tokenservice.v1 import trust_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tokenservice.core import TrustKey, TrustState


class FeedBroken(Exception):  # noqa: N818 - a condition, not a fault
    """The stream cannot be followed further; open another one. Says nothing secret."""


class FeedReader:
    """Applies one stream after another to a trust state.

    ``keys_changed`` is called after other keys took effect, ``log_changed`` when the log is
    another than before, or a key is no longer the key that it was: then nothing that is
    remembered of tokens holds.
    """

    def __init__(
        self,
        trust: TrustState,
        clock: AnchoredClock,
        keys_changed: Callable[[], None],
        log_changed: Callable[[], None],
    ) -> None:
        self._trust = trust
        self._clock = clock
        self._keys_changed = keys_changed
        self._log_changed = log_changed
        self._sent_at = 0.0
        self._server = AnchoredClock(clock.boot)
        self._start_over = True
        self._building: TrustSnapshot | None = None
        self._building_head: tuple[str, int, str, float] = ("", 0, "", 0.0)

    @property
    def off_by(self) -> float:
        """Seconds by which the relation of the clocks may be off."""
        return max(self._server.uncertainty(), self._clock.uncertainty())

    @property
    def in_snapshot(self) -> bool:
        """Whether more chunks of a snapshot are to come."""
        return self._building is not None

    def begin(self) -> pb.WatchTrustRequest:
        """Start a stream: what to ask for, now."""
        self._sent_at = self._clock.boot()
        self._server = AnchoredClock(self._clock.boot)
        self._building = None
        trust = self._trust
        if self._start_over or not trust.epoch:
            self._start_over = False
            return pb.WatchTrustRequest()
        return pb.WatchTrustRequest(epoch=trust.epoch, from_revision=trust.revision)

    def apply(self, message: pb.WatchTrustResponse) -> None:
        """Take one message over, wholly or not at all.

        Raises FeedBroken when it does not continue what is known (the view then grows old), or
        cannot be honoured (the view is given up at once).
        """
        received_at = self._clock.boot()
        server_time = seconds_of(message.server_time)
        server = self._server
        if server.anchored:
            server.witness(server_time, received_at)
            self._clock.witness(server_time, received_at)
        else:
            server.anchor(server_time, self._sent_at, received_at)
            self._clock.anchor(server_time, self._sent_at, received_at)
        # The earliest that the reading can have been; one from the future was never made.
        ahead = server.offset + server.uncertainty_at(received_at)
        read_at = min(seconds_of(message.read_time) - ahead, received_at)
        try:
            self._take(message, read_at)
        except TrustGap:
            self._start_over = True
            raise FeedBroken("the message does not continue the view") from None
        except ValueError as error:
            self._give_up()
            raise FeedBroken(str(error)) from None

    def _take(self, message: pb.WatchTrustResponse, read_at: float) -> None:
        trust = self._trust
        event = message.WhichOneof("event")
        if not message.epoch:
            raise ValueError("trust message: no epoch")
        if event == "snapshot":
            self._chunk(message, read_at)
            return
        if self._building is not None:
            raise TrustGap
        if message.epoch != trust.epoch:
            self._give_up()
            raise TrustGap
        if message.issuer != trust.issuer:
            raise TrustGap
        if event == "delta":
            self._delta(message, read_at)
        elif event == "heartbeat":
            trust.apply_heartbeat(message.epoch, message.revision, read_at)
        else:
            raise ValueError("trust message: unknown event")

    def _delta(self, message: pb.WatchTrustResponse, read_at: float) -> None:
        trust, delta = self._trust, message.delta
        keys: list[TrustKey] | None = None
        if delta.keys_changed:
            keys = keys_of(delta.keys)
            # The keys come once. Two servers' readings can be compared but roughly, and these
            # must not be passed over for seeming a moment older than what another one said.
            read_at = max(read_at, trust.read_time)
        before = trust.keys
        trust.apply_delta(
            message.epoch,
            delta.from_revision,
            message.revision,
            read_at,
            list(entries_of(delta.entries)),
            keys,
        )
        if trust.keys is not before:
            self._new_keys(before)

    def _chunk(self, message: pb.WatchTrustResponse, read_at: float) -> None:
        trust, chunk = self._trust, message.snapshot
        head = (message.epoch, message.revision, message.issuer)
        if self._building is None:
            if trust.epoch and message.epoch != trust.epoch:
                self._give_up()
            self._building = TrustSnapshot()
            self._building_head = (*head, read_at)
        elif head != self._building_head[:3]:
            raise TrustGap
        self._building.add(keys_of(chunk.keys), entries_of(chunk.entries))
        if chunk.last:
            self._adopt(self._building)

    def _adopt(self, snapshot: TrustSnapshot) -> None:
        trust = self._trust
        epoch, revision, issuer, read_at = self._building_head
        self._building = None
        if not snapshot.view.keys:  # they come with its first part, which is missing then
            raise TrustGap
        known, before = (trust.epoch, trust.issuer), trust.keys
        if not trust.adopt(snapshot, epoch, issuer, revision, read_at):
            return
        self._start_over = False
        if known == (epoch, issuer):
            self._new_keys(before)
        else:
            self._log_changed()

    def _new_keys(self, before: Mapping[str, TrustKey]) -> None:
        for kid, key in self._trust.keys.items():
            former = before.get(kid, key)
            if (key.alg, key.public_key) != (former.alg, former.public_key):
                self._log_changed()
                return
        self._keys_changed()

    def _give_up(self) -> None:
        self._trust.distrust()
        self._start_over = True
