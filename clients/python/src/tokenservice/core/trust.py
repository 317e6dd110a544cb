"""What a validator knows of the server's trust log, and what that does to a token.

No clock decides about revocation: every token carries ``rev``, the revision of the log current
when it was issued, and an entry for a subject, device, client or everything kills what has a
lower one. An entry that revokes a token, a session or a key kills by identity, whatever ``rev``.
A reissue spares the session, whose next access tokens have the same session, subject and key:
it goes by ``rev`` for all of these, and by identity for a token alone.

Times are Unix seconds of the server's clock. One thread (or task) applies messages while any
number read: a snapshot replaces one reference, and a delta moves the revision and the time of
reading last, so that a reader never takes half a message for a fresh whole.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf, isfinite
from operator import attrgetter
from typing import TYPE_CHECKING

from tokenservice.core.errors import TrustGap
from tokenservice.core.trust_index import TrustEntry, TrustKey, TrustView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenservice.core.facts import Facts
    from tokenservice.core.kinds import TrustEffect

__all__ = ["TrustEntry", "TrustKey", "TrustSnapshot", "TrustState", "TrustView"]

_REVISION = attrgetter("revision")


class TrustSnapshot:
    """A snapshot that is being put together, part by part; nothing judges by it yet."""

    __slots__ = ("_keys", "due", "log", "revision", "view")

    def __init__(self) -> None:
        self.view = TrustView()
        self.log: dict[int, TrustEntry] = {}
        self.due: list[tuple[float, int]] = []
        self.revision = 0
        self._keys: list[TrustKey] = []

    def add(self, keys: Iterable[TrustKey], entries: Iterable[TrustEntry]) -> None:
        """Add a part; the entries of all parts come in the order of their revisions.

        Raises ValueError for one that does not, or that cannot be honoured; the snapshot is then
        good for nothing.
        """
        more = list(keys)
        if more:
            self._keys += more
            self.view.set_keys(self._keys)
        add, log, due, arrival = self.view.add, self.log, self.due, len(self.log)
        for entry in entries:
            entry.check()
            if entry.revision < self.revision:
                raise ValueError("trust snapshot: entries out of order")
            self.revision = entry.revision
            add(entry)
            log[arrival] = entry
            heappush(due, (entry.keep_until, arrival))
            arrival += 1


class TrustState:
    """The trust log as far as it is known here.

    Until the first snapshot it has no epoch, knows no key and is never fresh. ``view`` is what
    a verdict reads; take it once per decision.
    """

    __slots__ = ("_due", "_log", "_next", "epoch", "issuer", "read_time", "revision", "view")

    def __init__(self) -> None:
        self.epoch = ""
        self.issuer = ""
        self.revision = 0
        self.read_time = -inf
        self.view = TrustView()
        # Entries by arrival, which is revision order; the heap holds (keep_until, arrival).
        self._log: dict[int, TrustEntry] = {}
        self._due: list[tuple[float, int]] = []
        self._next = 0

    @property
    def keys(self) -> Mapping[str, TrustKey]:
        """All keys as published, by kid."""
        return self.view.keys

    @property
    def size(self) -> int:
        """How many entries are held."""
        return len(self._log)

    def apply_snapshot(
        self,
        epoch: str,
        issuer: str,
        revision: int,
        read_time: float,
        keys: Iterable[TrustKey],
        entries: Iterable[TrustEntry],
    ) -> bool:
        """Replace the whole state; False when the snapshot is older than what is held.

        Raises TrustGap for an entry above ``revision`` and ValueError for one that cannot be
        honoured; the state is then unchanged.
        """
        snapshot = TrustSnapshot()
        snapshot.add(keys, sorted(entries, key=_REVISION))
        return self.adopt(snapshot, epoch, issuer, revision, read_time)

    def adopt(
        self,
        snapshot: TrustSnapshot,
        epoch: str,
        issuer: str,
        revision: int,
        read_time: float,
    ) -> bool:
        """Like :meth:`apply_snapshot`, with one that was put together before; costs little.

        The snapshot is this state's from then on.
        """
        _check_head(epoch, revision, read_time)
        if epoch == self.epoch and revision < self.revision:
            return False
        if snapshot.revision > revision:
            raise TrustGap
        self.view = snapshot.view
        self._log, self._due, self._next = snapshot.log, snapshot.due, len(snapshot.log)
        self.epoch, self.issuer = epoch, issuer
        self.revision, self.read_time = revision, read_time
        return True

    def distrust(self) -> None:
        """Stop relying on this state: it is fresh no more, and only a snapshot makes it so.

        For whoever meets an entry that cannot be honoured, or the news that the log is another.
        """
        self.read_time = -inf
        self.epoch = ""

    def apply_delta(
        self,
        epoch: str,
        from_revision: int,
        to_revision: int,
        read_time: float,
        entries: Iterable[TrustEntry],
        keys: Iterable[TrustKey] | None = None,
    ) -> None:
        """Add the entries of ``(from_revision, to_revision]``; ``keys`` None: unchanged.

        What is known already is skipped, so overlapping and repeated deltas are harmless and
        an older one changes nothing. Raises TrustGap when the delta does not continue this
        state and ValueError for an entry that cannot be honoured; the state is then unchanged.
        """
        _check_head(epoch, to_revision, read_time)
        if epoch != self.epoch or from_revision > self.revision or to_revision < from_revision:
            raise TrustGap
        if to_revision < self.revision:
            return
        new = (entry for entry in entries if entry.revision > self.revision)
        fresh = _checked(new, to_revision)
        if keys is not None and (to_revision > self.revision or read_time >= self.read_time):
            self.view.set_keys(keys)
        for entry in fresh:
            self.view.add(entry)
            self._log[self._next] = entry
            heappush(self._due, (entry.keep_until, self._next))
            self._next += 1
        self.revision = to_revision
        self.read_time = max(self.read_time, read_time)

    def apply_heartbeat(self, epoch: str, revision: int, read_time: float) -> None:
        """Note that the log was still at ``revision`` when it was read at ``read_time``.

        Raises TrustGap when the log is another one or ahead of this state; a revision below
        the own one comes from an older reading and changes nothing.
        """
        _check_head(epoch, revision, read_time)
        if epoch != self.epoch or revision > self.revision:
            raise TrustGap
        if revision == self.revision:
            self.read_time = max(self.read_time, read_time)

    def prune(self, now: float, at_most: int = 256) -> int:
        """Drop entries past their ``keep_until``; returns how many.

        Costs O(log n) each. ``at_most`` bounds one call, so that a mass revocation running
        out does not stop the caller's loop: while it returns ``at_most`` there may be more.
        """
        log, due, removed = self._log, self._due, 0
        while removed < at_most and due and due[0][0] < now:
            entry = log.pop(heappop(due)[1])
            self.view.remove(entry, log.values())
            removed += 1
        return removed

    def is_fresh(self, now: float, limit: float) -> bool:
        """Whether the log was read from the primary at most ``limit`` seconds ago.

        A reading from the future by more than that counts as no reading at all.
        """
        return bool(self.epoch) and -limit <= now - self.read_time <= limit

    def status(self, facts: Facts) -> TrustEffect | None:
        """Say what the log does to a token: REVOKE, REISSUE, or None for nothing. REVOKE wins."""
        return self.view.status(facts)

    def live_entries(self) -> list[TrustEntry]:
        """List all entries held, by revision."""
        return list(self._log.values())

    def entries_between(self, from_revision: int, to_revision: int) -> list[TrustEntry]:
        """List the entries held of ``(from_revision, to_revision]``, by revision.

        Costs what is newer than ``from_revision``, whatever the size of the log. Entries that
        were pruned are missing: nothing that they could kill is alive.
        """
        found = []
        for entry in reversed(self._log.values()):
            if entry.revision <= from_revision:
                break
            if entry.revision <= to_revision:
                found.append(entry)
        found.reverse()
        return found


def _check_head(epoch: str, revision: int, read_time: float) -> None:
    if not epoch or revision < 0 or not isfinite(read_time):
        raise ValueError("trust message: epoch, revision or read time out of range")


def _checked(entries: Iterable[TrustEntry], to_revision: int) -> list[TrustEntry]:
    """Put entries in order and make sure that each can be honoured."""
    ordered = sorted(entries, key=_REVISION)
    if ordered and ordered[-1].revision > to_revision:
        raise TrustGap
    for entry in ordered:
        entry.check()
    return ordered
