"""When keys are made, start to sign, stop, and stop to verify: pure decisions on their records.

A *slot* is a purpose and an algorithm. Each node runs `decide_key_changes` on what it read and
applies the plan; every change repeats the state that it was decided on, so nodes may do so at the
same time and from readings of different age. Three rules keep a signer there throughout:

- a key starts to sign first, and only a *later* reading that shows it ACTIVE retires the former;
- of several ACTIVE keys the newest signs (see `seniority`), and never does the newest retire;
- a key without a former (first start, compromise) starts at once, every other one after its lead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from token_service.domain.clients.policy_rules import (
    MAX_ABSOLUTE,
    MAX_ACCESS_LIFETIME,
    MAX_ROLLING_LIFETIME,
)
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.keys.key import Key, KeyChange
from token_service.domain.kinds import KeyPurpose, KeyState

DEFAULT_ALGORITHM = "EdDSA"
MAC_ALGORITHM = "HS256"
"""Algorithm of mint keys, peppers and the keys of opaque access tokens."""

_LONGEST_CALL = max(MAX_ACCESS_LIFETIME, MAX_ROLLING_LIFETIME)

Slot = tuple[KeyPurpose, str]


@dataclass(frozen=True, slots=True)
class KeyScheduleSettings:
    """How keys live.

    `rotation` is how long a key makes tokens; `life` is the longest life of what it made, None
    for no end (hashed client secrets do not expire: they move to a newer pepper when used).
    `publish_lead` lies between a key's publication and its first token, at least twice the
    `staleness_limit` within which every node and validator learns of a change: once for the
    writing, once for the hearing. Raises ValueError for times that cannot hold these promises.
    """

    staleness_limit: timedelta = timedelta(seconds=5)
    publish_lead: timedelta = timedelta(minutes=1)
    algorithms: tuple[str, ...] = (DEFAULT_ALGORITHM,)
    rotation: Mapping[KeyPurpose, timedelta] = field(
        default_factory=lambda: {
            KeyPurpose.SIGNING: timedelta(days=30),
            KeyPurpose.MINT: timedelta(days=30),
            KeyPurpose.PEPPER: timedelta(days=365),
            KeyPurpose.OPAQUE: timedelta(days=30),
        }
    )
    life: Mapping[KeyPurpose, timedelta | None] = field(
        default_factory=lambda: {
            KeyPurpose.SIGNING: _LONGEST_CALL,
            KeyPurpose.MINT: MAX_ABSOLUTE,
            KeyPurpose.PEPPER: None,
            KeyPurpose.OPAQUE: _LONGEST_CALL,
        }
    )

    def __post_init__(self) -> None:
        if self.staleness_limit <= timedelta(0):
            raise ValueError("the staleness limit must be positive")
        if self.publish_lead < 2 * self.staleness_limit:
            raise ValueError("keys must be published twice the staleness limit before they sign")
        for purpose in _PURPOSES:
            if self.rotation[purpose] <= self.publish_lead:
                raise ValueError(f"{purpose.name}: the rotation period is within the lead")
            life = self.life[purpose]
            if life is not None and life <= timedelta(0):
                raise ValueError(f"{purpose.name}: the life of tokens must be positive")

    @property
    def slots(self) -> tuple[Slot, ...]:
        """List what must have a signing key at all times."""
        signing = [(KeyPurpose.SIGNING, algorithm) for algorithm in self.algorithms]
        others = [(purpose, MAC_ALGORITHM) for purpose in _PURPOSES[1:]]
        return tuple(dict.fromkeys([*signing, *others]))


_PURPOSES = (KeyPurpose.SIGNING, KeyPurpose.MINT, KeyPurpose.PEPPER, KeyPurpose.OPAQUE)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to make.

    PENDING ones are inserted; an ACTIVE one fills an empty slot and is inserted only while the
    slot is still empty (`KeyStore.bootstrap`).
    """

    purpose: KeyPurpose
    algorithm: str
    state: KeyState
    activates_at: datetime


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What to do now.

    When it is not empty, read and decide again after applying it: a former key retires only after
    its successor was seen ACTIVE.
    """

    changes: tuple[KeyChange, ...] = ()
    generate: tuple[NewKey, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes or self.generate)


def seniority(key: Key) -> tuple[datetime, datetime, str]:
    """Order the keys of a slot, the same on every node; the greatest is the newest."""
    return key.activates_at, key.created_at, key.kid


def decide_key_changes(
    keys: Sequence[Key], now: datetime, settings: KeyScheduleSettings
) -> KeyPlan:
    """Everything due at `now`, for all slots."""
    slots = dict.fromkeys([*settings.slots, *((key.purpose, key.algorithm) for key in keys)])
    changes: list[KeyChange] = []
    generate: list[NewKey] = []
    for slot in slots:
        own = [key for key in keys if (key.purpose, key.algorithm) == slot]
        plan = _decide_slot(slot, own, now, settings)
        changes += plan.changes
        generate += plan.generate
    return KeyPlan(tuple(changes), tuple(generate))


def decide_rotation(
    keys: Sequence[Key],
    purpose: KeyPurpose,
    algorithm: str,
    now: datetime,
    settings: KeyScheduleSettings,
) -> NewKey:
    """Plan the key that replaces the active one before its time.

    Raises KEY_STATE while another one is PENDING already.
    """
    own = [key for key in keys if (key.purpose, key.algorithm) == (purpose, algorithm)]
    if _in(own, KeyState.PENDING):
        raise TokenServiceError(Reason.KEY_STATE, "a newer key is pending already")
    return NewKey(purpose, algorithm, KeyState.PENDING, now + settings.publish_lead)


def _decide_slot(
    slot: Slot, keys: list[Key], now: datetime, settings: KeyScheduleSettings
) -> KeyPlan:
    active, pending = _in(keys, KeyState.ACTIVE), _in(keys, KeyState.PENDING)
    urgent = not active and _must_sign(slot, keys, settings)
    successor = _successor(pending, now)
    changes: list[KeyChange] = []
    if successor is not None and (urgent or successor.activates_at <= now):
        changes.append(KeyChange(successor.kid, KeyState.PENDING, KeyState.ACTIVE))
    changes += _retirements(active[:-1], slot, now, settings)
    # Nodes that decided at the same time may have made one each: the others never signed.
    changes += [
        KeyChange(key.kid, KeyState.PENDING, KeyState.RETIRED)
        for key in pending
        if key is not successor
    ]
    changes += [
        KeyChange(key.kid, KeyState.RETIRING, KeyState.RETIRED, key.retires_at)
        for key in _in(keys, KeyState.RETIRING)
        if key.retires_at is not None and key.retires_at <= now
    ]
    if pending:
        return KeyPlan(tuple(changes))
    return KeyPlan(tuple(changes), _generation(slot, active, urgent, now, settings))


def _generation(
    slot: Slot,
    active: list[Key],
    urgent: bool,
    now: datetime,
    settings: KeyScheduleSettings,
) -> tuple[NewKey, ...]:
    """Plan the next key of a slot that has none PENDING, if it is time to publish one."""
    purpose, algorithm = slot
    if urgent:
        return (NewKey(purpose, algorithm, KeyState.ACTIVE, now),)
    if not active:
        return ()
    due = active[-1].activates_at + settings.rotation[purpose]
    earliest = now + settings.publish_lead
    if due > earliest:
        return ()
    return (NewKey(purpose, algorithm, KeyState.PENDING, earliest),)


def _retirements(
    former: Iterable[Key], slot: Slot, now: datetime, settings: KeyScheduleSettings
) -> list[KeyChange]:
    """End the signing of `former`.

    Other nodes may sign with it until they heard of this, so its last token is made at most
    two staleness limits (writing, hearing) after `now`: the lead covers them.
    """
    life = settings.life[slot[0]]
    retires_at = None if life is None else now + settings.publish_lead + life
    return [KeyChange(key.kid, KeyState.ACTIVE, KeyState.RETIRING, retires_at) for key in former]


def _successor(pending: list[Key], now: datetime) -> Key | None:
    """Pick the newest that is due; before any is, the one that will be first."""
    due = [key for key in pending if key.activates_at <= now]
    if due:
        return due[-1]
    return pending[0] if pending else None


def _must_sign(slot: Slot, keys: list[Key], settings: KeyScheduleSettings) -> bool:
    """Whether the slot needs a signer: configured, or in use until its key was compromised."""
    unused = {KeyState.PENDING, KeyState.RETIRED}
    return slot in settings.slots or any(key.state not in unused for key in keys)


def _in(keys: Iterable[Key], state: KeyState) -> list[Key]:
    return sorted((key for key in keys if key.state is state), key=seniority)
