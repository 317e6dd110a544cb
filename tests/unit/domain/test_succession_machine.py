"""Failovers of every kind at random, with nodes that see parts of what happens: whatever they
remember, what was acknowledged to be revoked is never of use again once all of them have looked."""

from copy import deepcopy
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from token_service.domain.trust.reading import Lineage, TrustReading
from token_service.domain.trust.succession import JUMP, Ended, Memory, Step, judge

FIRST = Lineage(1, 1)
NODES = 2
NODE = st.integers(0, NODES - 1)


@dataclass
class Data:
    """What a database holds."""

    epoch: str = "e0"
    revision: int = 0
    valid_rev: int = 0
    beat: int = 1
    synchronous: bool = True
    recorded: Lineage = FIRST
    ended: dict[str, Ended] = field(default_factory=dict)
    sessions: dict[int, int] = field(default_factory=dict)
    """The `rev` of each that was not revoked."""


class Failovers(RuleBasedStateMachine):
    """One primary with one standby, two nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.data = Data(sessions=dict.fromkeys(range(20), 0))
        self.standby, self.former = deepcopy(self.data), deepcopy(self.data)
        self.server = FIRST
        self.timelines = self.epochs = 1
        self.synchronous = True
        self.lossless = True
        self.memories: list[Memory | None] = [None] * NODES
        self.revoked: dict[int, int] = {}
        """The revision of each revocation that was acknowledged."""
        self.issued = len(self.data.sessions)
        for number in range(NODES):
            self.look(number)

    # --- what nodes and the primary do ---

    @rule()
    def issue(self) -> None:
        if self.is_known():
            self.data.sessions[self.issued] = self.data.revision
            self.issued += 1
            self.committed()

    @rule(number=NODE, which=st.integers(0, 1000))
    def revoke(self, number: int, which: int) -> None:
        memory = self.memories[number]
        if not self.is_known() or memory is None or not self.data.sessions:
            return
        session = sorted(self.data.sessions)[which % len(self.data.sessions)]
        del self.data.sessions[session]
        self.data.revision += 1
        self.committed()
        assert self.data.revision not in self.revoked.values(), "a revision was given out twice"
        self.revoked[session] = self.data.revision
        acknowledged = max(memory.acknowledged, self.data.revision)
        self.memories[number] = replace(memory, acknowledged=acknowledged)

    @rule()
    def beat(self) -> None:
        if self.is_known():
            self.data.beat += 1
            self.data.synchronous = self.synchronous
            self.committed()

    @rule(number=NODE)
    def look(self, number: int, *, patient: bool = True) -> None:
        """Read, and do what that calls for, until it is taken over or left to others."""
        while True:
            data, memory = self.data, self.memories[number]
            reading = self.reading()
            ended = data.ended.get(memory.epoch) if memory else None
            step = judge(memory, reading, ended).step
            if step is Step.NOTHING:
                acknowledged = memory.acknowledged if memory else 0
                self.memories[number] = Memory(
                    epoch=data.epoch,
                    revision=data.revision,
                    beat=data.beat,
                    acknowledged=acknowledged,
                )
                return
            if step is Step.WAIT and patient:
                return
            self.begin(fenced=step is not Step.SUCCEED, above=memory.known if memory else 0)

    def begin(self, *, fenced: bool, above: int) -> None:
        data = self.data
        assert not (fenced and self.lossless), "everyone is logged out and nothing was lost"
        data.ended[data.epoch] = Ended(data.revision, data.beat)
        data.epoch, self.epochs = f"e{self.epochs}", self.epochs + 1
        data.revision = max(data.revision, above) + JUMP
        data.beat, data.synchronous, data.recorded = data.beat + 1, self.synchronous, self.server
        if fenced:
            data.revision += 1
            data.valid_rev = data.revision
        self.committed()

    # --- what becomes of servers ---

    @rule(synchronous=st.booleans())
    def replicate(self, synchronous: bool) -> None:
        """In another way from now on; the standby has what was until now, and the first beat."""
        self.synchronous = synchronous
        self.beat()
        self.standby = deepcopy(self.data)

    @rule()
    def fail_over(self) -> None:
        if not self.synchronous:
            self.lossless = False
        self.timelines += 1
        self.data, self.server = deepcopy(self.standby), Lineage(1, self.timelines)

    @rule()
    def copy(self) -> None:
        """A backup, a snapshot of the machine, or a standby that receives nothing more."""
        self.former = deepcopy(self.data)

    @precondition(lambda self: all(self.memories))
    @rule(how=st.sampled_from(["promoted", "restored elsewhere", "set back"]))
    def go_on_with_the_copy(self, how: str) -> None:
        """With all nodes looking on: whatever it lacks, one of them knows."""
        self.lossless = False
        self.data = deepcopy(self.former)
        self.timelines += 1
        if how == "promoted":
            self.server = Lineage(1, self.timelines)
        elif how == "restored elsewhere":
            self.server = Lineage(self.timelines, 1)
        else:
            self.server = self.data.recorded
        self.settle()

    @rule(number=NODE)
    def start_a_node_anew(self, number: int) -> None:
        """One that another one can stand in for."""
        other = self.memories[1 - number]
        if other and other.epoch == self.data.epoch and other.known >= self.data.revision:
            self.memories[number] = None

    # --- what holds ---

    @rule()
    def settle(self) -> None:
        """All nodes look, and one that still waits gives up waiting."""
        for patient in (True, True, False, True):
            for number in range(NODES):
                self.look(number, patient=patient)
        assert {memory and memory.epoch for memory in self.memories} == {self.data.epoch}
        for session in self.revoked:
            rev = self.data.sessions.get(session)
            assert rev is None or rev < self.data.valid_rev, f"{session} came to life again"

    @invariant()
    def nobody_is_logged_out_for_nothing(self) -> None:
        if self.lossless:
            assert self.data.valid_rev == 0

    def is_known(self) -> bool:
        """As ON_KNOWN_TIMELINE has it."""
        return self.data.recorded.timeline == self.server.timeline

    def committed(self) -> None:
        if self.synchronous:
            self.standby = deepcopy(self.data)

    def reading(self) -> TrustReading:
        data = self.data
        return TrustReading(
            epoch=data.epoch,
            revision=data.revision,
            valid_rev=data.valid_rev,
            config_version=0,
            keys_version=0,
            entries=(),
            since_revision=0,
            db_time=0.0,
            sent_boot=0.0,
            received_boot=0.0,
            beat=data.beat,
            beaten_boot=0.0,
            synchronous=data.synchronous,
            server=self.server,
            recorded=data.recorded,
        )


TestFailovers = Failovers.TestCase
TestFailovers.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)
