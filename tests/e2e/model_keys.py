"""The part of the model that speaks of keys: when they make tokens, and when these stop."""

from dataclasses import dataclass, field, replace

from tokenservice.core import KeyState

LEAD = 60.0
"""From a key's publication to its first token."""

LIFE: dict[str, float | None] = {
    "SIGNING": 86_400.0,
    "MINT": 180 * 86_400.0,
    "PEPPER": None,
    "OPAQUE": 86_400.0,
}
"""How long what a key made may be presented."""

_MAKES = (KeyState.ACTIVE,)


@dataclass
class Key:
    """A key; `kid` is empty until the service has told it."""

    kid: str
    purpose: str
    state: KeyState
    activates_at: float
    retires_at: float | None = None


@dataclass
class Keys:
    """All keys, the oldest first."""

    all: list[Key] = field(default_factory=list)

    def state(self, kid: str) -> KeyState:
        """A key's state."""
        return next(key.state for key in self.all if key.kid == kid)

    def of(self, purpose: str, *states: KeyState) -> list[Key]:
        """The keys of a purpose in one of these states, the oldest first."""
        return [key for key in self.all if key.purpose == purpose and key.state in states]

    def active(self, purpose: str) -> str:
        """The key that makes tokens now."""
        return self.of(purpose, *_MAKES)[-1].kid

    def rotate(self, purpose: str, now: float) -> Key | None:
        """Publish the next key; None while one is published already."""
        if self.of(purpose, KeyState.PENDING):
            return None
        self.all.append(Key("", purpose, KeyState.PENDING, now + LEAD))
        return self.all[-1]

    def tick(self, now: float) -> None:
        """What is due: successors start, the former keys end, and in time are forgotten."""
        for key in self.all:
            over = key.retires_at is not None and key.retires_at <= now
            if key.state is KeyState.RETIRING and over:
                key.state = KeyState.RETIRED
            if key.state is KeyState.PENDING and key.activates_at <= now:
                self._start(key, now)

    def compromise(self, key: Key, now: float) -> bool:
        """End a key and put another in its place; False when that was done before."""
        if key.state is KeyState.COMPROMISED:
            return False
        if key.state is KeyState.ACTIVE:
            pending = self.of(key.purpose, KeyState.PENDING)
            if pending:
                pending[0].state = KeyState.ACTIVE
            else:
                self.all.append(replace(key, kid="", activates_at=now))
        key.state = KeyState.COMPROMISED
        return True

    def _start(self, successor: Key, now: float) -> None:
        life = LIFE[successor.purpose]
        for former in self.of(successor.purpose, KeyState.ACTIVE):
            former.state = KeyState.RETIRING
            former.retires_at = None if life is None else now + LEAD + life
        successor.state = KeyState.ACTIVE
