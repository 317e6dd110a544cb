"""Several nodes decide from readings of different age and write at the same time.

Whatever the order, every node can sign at all times, every other node knows the key it signs
with, and no key stops to verify while a token of it is alive.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.crypto.builders import NOW
from token_service.domain.errors import TokenServiceError
from token_service.domain.keys.key import Key
from token_service.domain.keys.schedule import (
    KeyPlan,
    KeyScheduleSettings,
    Slot,
    decide_key_changes,
    decide_rotation,
    seniority,
)
from token_service.domain.kinds import KeyPurpose, KeyState

SECOND = timedelta(seconds=1)
STALE = 5 * SECOND
FAST = KeyScheduleSettings(
    staleness_limit=STALE,
    publish_lead=10 * SECOND,
    rotation=dict.fromkeys(KeyPurpose, 30 * SECOND),
    life={**dict.fromkeys(KeyPurpose, 12 * SECOND), KeyPurpose.PEPPER: None},
)
VERIFYING = (KeyState.PENDING, KeyState.ACTIVE, KeyState.RETIRING)
SLOTS = FAST.slots


@dataclass
class Store:
    """What `KeyStore` promises: each change repeats the state it was decided on."""

    keys: dict[str, Key] = field(default_factory=dict)
    published: dict[str, datetime] = field(default_factory=dict)
    urgent: set[str] = field(default_factory=set)

    def apply(self, plan: KeyPlan, decided_at: datetime, now: datetime) -> None:
        for change in plan.changes:
            held = self.keys[change.kid]
            if held.state is change.from_state:
                assert change.to_state > held.state
                if change.to_state is KeyState.ACTIVE and not self._signer(held):
                    self.urgent.add(held.kid)
                self.keys[change.kid] = replace(
                    held, state=change.to_state, retires_at=change.retires_at
                )
        for new in plan.generate:
            made = Key(
                kid=f"{len(self.keys):08x}",
                purpose=new.purpose,
                algorithm=new.algorithm,
                state=new.state,
                secret_key_id="one",
                public_key=b"",
                sealed_private=b"",
                created_at=decided_at,
                activates_at=new.activates_at,
            )
            if new.state is KeyState.PENDING:
                self._insert(made, now)
            elif not self._has_live(made):
                self.urgent.add(made.kid)
                self._insert(made, now)

    def _insert(self, key: Key, now: datetime) -> None:
        self.keys[key.kid] = key
        self.published[key.kid] = now

    def _has_live(self, like: Key) -> bool:
        live = (KeyState.PENDING, KeyState.ACTIVE)
        slot = (like.purpose, like.algorithm)
        return any(
            key.state in live for key in self.keys.values() if (key.purpose, key.algorithm) == slot
        )

    def _signer(self, like: Key) -> Key | None:
        return signer(self.keys, (like.purpose, like.algorithm))


@dataclass
class Node:
    """What it last heard of the keys, and what it has decided and not yet written."""

    view: dict[str, Key]
    heard_at: datetime
    plan: KeyPlan = field(default_factory=KeyPlan)
    decided_at: datetime = NOW


def signer(keys: dict[str, Key], slot: Slot) -> Key | None:
    active = [
        key
        for key in keys.values()
        if (key.purpose, key.algorithm) == slot and key.state is KeyState.ACTIVE
    ]
    return max(active, key=seniority, default=None)


class World:
    """Three nodes over one store. A node hears of a change before the staleness limit is over,
    and writes within it what it decided, or not at all."""

    def __init__(self) -> None:
        self.now = NOW
        self.store = Store()
        self.store.apply(decide_key_changes([], NOW, FAST), NOW, NOW)
        self.nodes = [Node(dict(self.store.keys), NOW) for _ in range(3)]
        self.last_made: dict[str, tuple[datetime, Slot]] = {}

    def step(self, seconds: int, number: int, action: str) -> None:
        self._pass(timedelta(seconds=seconds))
        node = self.nodes[number]
        if action == "hear":
            node.view, node.heard_at = dict(self.store.keys), self.now
        elif action == "tick":
            self.settle()
        elif action == "decide":
            self._decide(node, decide_key_changes(tuple(self.store.keys.values()), self.now, FAST))
        elif action == "rotate":
            self._rotate(node, SLOTS[(seconds + number) % len(SLOTS)])
        elif action == "disown":
            self._disown(SLOTS[(seconds + number) % len(SLOTS)])
        elif action == "compromise":
            self._compromise(SLOTS[(seconds + number) % len(SLOTS)])
        else:
            self.store.apply(node.plan, node.decided_at, self.now)
            node.plan = KeyPlan()

    def _pass(self, time: timedelta) -> None:
        after = self.now + time
        for node in self.nodes:
            if after - node.heard_at >= STALE:
                node.view, node.heard_at = dict(self.store.keys), self.now
            if after - node.decided_at > STALE:
                node.plan = KeyPlan()
        self.now = after

    def _decide(self, node: Node, plan: KeyPlan) -> None:
        node.plan, node.decided_at = plan, self.now

    def _rotate(self, node: Node, slot: Slot) -> None:
        try:
            new = decide_rotation(tuple(self.store.keys.values()), *slot, self.now, FAST)
        except TokenServiceError:
            return
        self._decide(node, KeyPlan(generate=(new,)))

    def _disown(self, slot: Slot) -> None:
        """A key is declared compromised that never signed, while nodes may count on it."""
        for key in self.store.keys.values():
            if (key.purpose, key.algorithm) == slot and key.state is KeyState.PENDING:
                self.store.keys[key.kid] = replace(key, state=KeyState.COMPROMISED)
                return

    def _compromise(self, slot: Slot) -> None:
        """The command marks the key and lets the schedule fill its place before it returns."""
        lost = signer(self.store.keys, slot)
        assert lost is not None
        self.store.keys[lost.kid] = replace(lost, state=KeyState.COMPROMISED)
        self.settle()

    def settle(self) -> None:
        """Decide and apply until there is nothing to do: what each tick of a node does."""
        for _ in range(4):
            plan = decide_key_changes(tuple(self.store.keys.values()), self.now, FAST)
            if not plan:
                return
            self.store.apply(plan, self.now, self.now)
        raise AssertionError("the schedule never comes to rest")

    def check_signers(self) -> None:
        """Every node can sign, and every other one knows what it signs with."""
        for slot in SLOTS:
            for node in self.nodes:
                key = signer(node.view, slot)
                assert key is not None, f"no signer for {slot}"
                if key.kid not in self.store.urgent:
                    assert self.now - self.store.published[key.kid] >= STALE
                assert all(verifies(other, key.kid) for other in self.nodes)
                self.last_made[key.kid] = self.now, slot

    def check_tokens(self) -> None:
        """No key of a token that is alive has ended, whatever a node has heard of it."""
        for kid, (at, slot) in list(self.last_made.items()):
            life = FAST.life[slot[0]]
            if life is not None and self.now > at + life:
                del self.last_made[kid]
                continue
            assert self.store.keys[kid].state in VERIFYING
            assert all(verifies(node, kid) for node in self.nodes)


def verifies(node: Node, kid: str) -> bool:
    return kid in node.view and node.view[kid].state in VERIFYING


def steps(*actions: str) -> st.SearchStrategy[list[tuple[int, int, str]]]:
    seconds = st.sampled_from([0, 0, 0, 1, 1, 5])
    one = st.tuples(seconds, st.integers(0, 2), st.sampled_from(actions))
    return st.lists(one, min_size=60, max_size=120)


LATE = [(0, 1, "rotate"), (5, 0, "hear"), (0, 1, "hear"), (0, 1, "apply")]
"""A rotation is written at the last moment, when a node has just heard of what was before."""


@settings(max_examples=100)
@given(steps("hear", "tick", "decide", "apply", "rotate", "disown"))
@example([(20, 0, "tick"), (5, 0, "tick"), *LATE, *[(1, 0, "hear")] * 4, (1, 0, "tick")])
def test_nodes_that_decide_at_the_same_time_lose_no_signer_and_no_token(
    taken: list[tuple[int, int, str]],
) -> None:
    world = World()
    for step in taken:
        world.step(*step)
        world.check_signers()
        world.check_tokens()
    world.settle()
    for slot in SLOTS:
        states = [
            key.state for key in world.store.keys.values() if (key.purpose, key.algorithm) == slot
        ]
        assert states.count(KeyState.ACTIVE) == 1
        assert states.count(KeyState.PENDING) <= 1


@settings(max_examples=40)
@given(steps("decide", "apply", "rotate", "compromise"))
def test_a_compromise_in_between_leaves_a_signer_after_the_next_tick(
    taken: list[tuple[int, int, str]],
) -> None:
    world = World()
    for step in taken:
        world.settle()
        world.step(*step)
        world.settle()
        for slot in SLOTS:
            states = [
                key.state
                for key in world.store.keys.values()
                if (key.purpose, key.algorithm) == slot
            ]
            assert states.count(KeyState.ACTIVE) == 1


def test_left_alone_keys_follow_one_another() -> None:
    """The simulation itself must rotate, or the properties above would say nothing."""
    world = World()
    for _ in range(200):
        world.step(1, 0, "decide")
        world.step(0, 0, "apply")
        world.step(0, 0, "hear")
        world.check_signers()
        world.check_tokens()
    for slot in SLOTS:
        keys = [key for key in world.store.keys.values() if (key.purpose, key.algorithm) == slot]
        states = [key.state for key in keys]
        assert len(keys) >= 6
        current = signer(world.store.keys, slot)
        assert current is not None
        assert world.now - current.activates_at <= FAST.rotation[slot[0]]
        assert states.count(KeyState.ACTIVE) == 1
        retired = states.count(KeyState.RETIRED)
        assert retired == 0 if slot[0] is KeyPurpose.PEPPER else retired >= 4


def test_a_successor_lost_just_before_its_turn_leaves_the_former_signing() -> None:
    """A node has decided on the switch when the successor is declared compromised."""
    world = World()
    while not any(key.state is KeyState.PENDING for key in world.store.keys.values()):
        world.step(1, 0, "tick")
    world.step(5, 0, "hear")
    world.step(5, 0, "decide")
    assert {change.to_state for change in world.nodes[0].plan.changes} == {KeyState.ACTIVE}
    for slot in SLOTS:
        world._disown(slot)
    world.step(0, 0, "apply")
    world.step(0, 0, "hear")
    world.check_signers()
