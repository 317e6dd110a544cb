"""The trust state against a naive model: a list of entries and the rules, one by one."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.tokens import ISSUER, KID, facts, key
from tokenservice.core import (
    Facts,
    TrustEffect,
    TrustEntry,
    TrustEntryKind,
    TrustGap,
    TrustState,
)

REVOKE, REISSUE = TrustEffect.REVOKE, TrustEffect.REISSUE
NAMES = ("a", "b")
BY_REVISION = {
    TrustEntryKind.SUBJECT,
    TrustEntryKind.SUBJECT_DEVICE,
    TrustEntryKind.CLIENT,
    TrustEntryKind.EVERYTHING,
}

ALL_PROBES = [
    facts(
        token_id=token,
        session_id=session,
        subject=subject,
        device_id=device,
        client_id=client,
        key_id=kid,
        rev=rev,
    )
    for token, session, subject, device, client, kid, rev in product(
        NAMES, NAMES, NAMES, ("", "a"), NAMES, (KID, "b"), (0, 2, 4, 6, 9)
    )
]
# A stride that has no factor in common with the pools: every value of each meets the others.
PROBES = ALL_PROBES[::13]


def concerns(entry: TrustEntry, token: Facts) -> bool:
    match entry.kind:
        case TrustEntryKind.TOKEN:
            return entry.id == token.token_id
        case TrustEntryKind.SESSION:
            return entry.id == token.session_id
        case TrustEntryKind.SUBJECT:
            return entry.id == token.subject
        case TrustEntryKind.SUBJECT_DEVICE:
            return (entry.id, entry.device_id) == (token.subject, token.device_id)
        case TrustEntryKind.CLIENT:
            return entry.id == token.client_id
        case TrustEntryKind.KEY:
            return entry.id == token.key_id
        case _:
            return entry.kind is TrustEntryKind.EVERYTHING


def kills(entry: TrustEntry, token: Facts) -> bool:
    if not concerns(entry, token):
        return False
    if entry.kind in BY_REVISION:
        return token.rev < entry.revision
    if entry.effect is REISSUE and entry.kind is not TrustEntryKind.TOKEN:
        return token.rev < entry.revision
    return True


def naive_status(entries: Iterable[TrustEntry], token: Facts) -> TrustEffect | None:
    effects = {entry.effect for entry in entries if kills(entry, token)}
    return REVOKE if REVOKE in effects else REISSUE if REISSUE in effects else None


@st.composite
def targets(draw: st.DrawFn) -> tuple[TrustEntryKind, str, str]:
    kind = draw(st.sampled_from([kind for kind in TrustEntryKind if kind]))
    name = draw(st.sampled_from(NAMES))
    if kind is TrustEntryKind.EVERYTHING:
        name = ""
    elif kind is TrustEntryKind.KEY:
        name = draw(st.sampled_from((KID, "b")))
    return kind, name, "a" if kind is TrustEntryKind.SUBJECT_DEVICE else ""


@st.composite
def contents(draw: st.DrawFn) -> TrustEntry:
    kind, name, device = draw(targets())
    effect = draw(st.sampled_from([REVOKE, REISSUE]))
    return TrustEntry(
        revision=1,
        kind=kind,
        id=name,
        device_id=device,
        effect=effect,
        keep_until=float(draw(st.integers(0, 30))),
    )


@st.composite
def logs(draw: st.DrawFn) -> list[TrustEntry]:
    """A whole log; now and then a revision has several entries."""
    revision, log = 0, []
    for step in draw(st.lists(st.sampled_from([0, 1, 1, 2]), max_size=12)):
        revision = max(1, revision + step)
        log.append(replace(draw(contents()), revision=revision))
    return log


@settings(max_examples=50)
@given(logs(), st.lists(st.integers(0, 12), max_size=6), st.data())
def test_replayed_deltas_give_what_a_snapshot_gives(
    log: list[TrustEntry], stops: list[int], data: st.DataObject
) -> None:
    head = max([entry.revision for entry in log], default=0)
    whole, grown = TrustState(), TrustState()
    whole.apply_snapshot("e", ISSUER, head, 5.0, [key()], data.draw(st.permutations(log)))
    grown.apply_snapshot("e", ISSUER, 0, 0.0, [key()], [])
    for stop in [*sorted(stops), head]:
        to = min(stop, head)
        start = data.draw(st.integers(0, min(grown.revision, to)))
        part = [entry for entry in log if start < entry.revision <= to]
        grown.apply_delta("e", start, to, 5.0, data.draw(st.permutations(part)))

    assert grown.revision == whole.revision
    by_content = sorted(log, key=repr)
    assert sorted(grown.live_entries(), key=repr) == by_content
    assert sorted(whole.live_entries(), key=repr) == by_content
    for probe in ALL_PROBES:
        expected = naive_status(log, probe)
        assert grown.status(probe) is expected
        assert whole.status(probe) is expected


class TrustMachine(RuleBasedStateMachine):
    """Any mix of messages, in and out of order, against the list of what must be known."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[TrustEntry] = []
        self.head = 0
        self.now = 0.0
        self.state = TrustState()
        self.known: list[TrustEntry] = []
        self.revision = 0
        self.read_time = 0.0

    @initialize()
    def start(self) -> None:
        self.state.apply_snapshot("e", ISSUER, 0, 0.0, [key()], [])

    @rule(new=st.lists(contents(), min_size=1, max_size=3), together=st.booleans())
    def server_revokes(self, new: list[TrustEntry], together: bool) -> None:
        for i, content in enumerate(new):
            if i == 0 or not together:
                self.head += 1
            self.log.append(replace(content, revision=self.head))

    @rule(data=st.data(), read=st.integers(0, 40))
    def delta(self, data: st.DataObject, read: int) -> None:
        start = data.draw(st.integers(0, self.head))
        to = data.draw(st.integers(start, self.head))
        part = [entry for entry in self.log if start < entry.revision <= to]
        if start > self.revision:
            with pytest.raises(TrustGap):
                self.state.apply_delta("e", start, to, float(read), part)
            return
        self.state.apply_delta("e", start, to, float(read), part)
        if to >= self.revision:
            self.known += [entry for entry in part if entry.revision > self.revision]
            self.revision = to
            self.read_time = max(self.read_time, float(read))

    @rule(data=st.data(), read=st.integers(0, 40))
    def heartbeat(self, data: st.DataObject, read: int) -> None:
        at = data.draw(st.integers(0, self.head))
        if at > self.revision:
            with pytest.raises(TrustGap):
                self.state.apply_heartbeat("e", at, float(read))
            return
        self.state.apply_heartbeat("e", at, float(read))
        if at == self.revision:
            self.read_time = max(self.read_time, float(read))

    @rule(data=st.data(), read=st.integers(0, 40))
    def snapshot(self, data: st.DataObject, read: int) -> None:
        at = data.draw(st.integers(0, self.head))
        part = [e for e in self.log if e.revision <= at and e.keep_until >= self.now]
        taken = self.state.apply_snapshot("e", ISSUER, at, float(read), [key()], part)
        assert taken is (at >= self.revision)
        if taken:
            self.known, self.revision, self.read_time = part, at, float(read)

    @rule(passed=st.integers(0, 5), at_most=st.sampled_from([1, 2, 256]))
    def prune(self, passed: int, at_most: int) -> None:
        self.now += passed
        due = [entry for entry in self.known if entry.keep_until < self.now]
        assert self.state.prune(self.now, at_most) == min(len(due), at_most)
        while self.state.prune(self.now, at_most):
            pass
        self.known = [entry for entry in self.known if entry.keep_until >= self.now]

    @invariant()
    def agrees(self) -> None:
        held = self.state.live_entries()
        assert [entry.revision for entry in held] == sorted(e.revision for e in held)
        assert sorted(held, key=repr) == sorted(self.known, key=repr)
        assert (self.state.revision, self.state.read_time) == (self.revision, self.read_time)
        for probe in PROBES:
            assert self.state.status(probe) is naive_status(self.known, probe)


TestTrustMachine = TrustMachine.TestCase
TestTrustMachine.settings = settings(max_examples=50, stateful_step_count=30)


@pytest.mark.parametrize("effect", [REVOKE, REISSUE])
def test_the_last_of_several_entries_about_one_target_still_counts(effect: TrustEffect) -> None:
    """Of one kind or of several that name the same."""
    kinds = [TrustEntryKind.SUBJECT, TrustEntryKind.SUBJECT, TrustEntryKind.SESSION]
    log = [
        TrustEntry(
            revision=revision,
            kind=kind,
            id="a",
            device_id="",
            effect=effect,
            keep_until=float(revision),
        )
        for revision, kind in enumerate([*kinds, TrustEntryKind.SUBJECT], 1)
    ]
    state = TrustState()
    state.apply_snapshot("e", ISSUER, 4, 0.0, [key()], log)
    for now in range(5):
        assert state.status(facts(subject="a", session_id="a", rev=0)) is effect
        state.prune(now + 0.5)
    assert state.status(facts(subject="a", session_id="a", rev=0)) is None
