"""How much work a day is, and how it is spread over a run."""

from dataclasses import dataclass, fields

FULL_SECONDS = 600.0
"""A run of this length does a day's work; a shorter one does its share of it."""

ACCESS_SECONDS = 20
ROLLING_SECONDS = 60
SESSION_SECONDS = 120
"""Lifetimes by the clients' policies: short, so that everything that is made expires in the run."""

KEEP_SECONDS = ROLLING_SECONDS + 60.0
"""How long the trust log keeps an entry: the longest access lifetime and the log's own margin."""

SWEEP_SECONDS = 60.0
"""How often the server sweeps."""

CONNECTION_SECONDS = 20.0
"""After this time the server asks every client to connect anew."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What is begun each second, under the name that the tally counts it by."""

    session: float = 175.0
    """Sessions opened with an app key; each is exchanged twice, then revoked (25 %), presented
    again after its exchange (2 %), or left to expire."""
    validate: float = 100.0
    """Questions to the server itself about a token; validators ask by the feed."""
    login: float = 2.0
    wrong_password: float = 1.0
    code: float = 10.0
    pairing: float = 1.0
    """Pairings that lead to a session."""
    abandoned_pairing: float = 5.0
    watcher: float = 8.0
    """Streams of the trust feed that are opened, read for a moment and dropped."""
    slow_watcher: float = 0.2
    """Streams that nobody reads."""
    abuse: float = 20.0
    """Calls that have to be refused."""
    cancelled: float = 10.0
    late: float = 10.0
    """Calls with a deadline that cannot be kept."""
    connection: float = 3.0
    """Connections that are opened for one call, and some closed under it."""
    junk_connection: float = 3.0
    """Connections that do not even speak HTTP/2."""
    user: float = 0.2
    """Users that are made, log in, and are disabled and deleted."""
    policy: float = 0.1
    """Changes of a client's policy, each of which makes every node read its clients again."""
    client: float = 0.05
    """Clients disabled, which ends their sessions, and enabled."""
    key: float = 1 / 45
    """Keys rotated, one purpose after the other."""

    def scaled(self, factor: float) -> "Rates":
        """The same mixture, more or less of it."""
        return Rates(**{name: factor * getattr(self, name) for name in KINDS})

    def only(self, *kinds: str) -> "Rates":
        """These kinds alone, to find out which of them leaves something behind."""
        return Rates(**{name: getattr(self, name) * (name in kinds) for name in KINDS})


KINDS = tuple(one.name for one in fields(Rates))
"""All kinds of work."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run of `seconds`: a rush and then usual load to warm up, a pause in which nothing goes on,
    the part that counts, and another pause. `prefill` tokens fill the server's cache before."""

    seconds: float
    rates: Rates
    prefill: int

    @classmethod
    def of(cls, seconds: float, load: float = 1.0) -> "Plan":
        """A run of that length at `load` times the rates of a day in ten minutes."""
        prefill = 50_000 if seconds >= FULL_SECONDS / 5 else 2_000
        return cls(seconds, Rates().scaled(load), prefill)

    @property
    def warm_seconds(self) -> float:
        """How long the load runs before anything is measured: until the tables are as full as
        they get, where there is time for it."""
        return min(0.35 * self.seconds, KEEP_SECONDS + SWEEP_SECONDS + 20.0)

    @property
    def rush_seconds(self) -> float:
        """How long of that it is a rush, so that memory is as large as it gets at the busiest:
        what an allocator took for a moment it does not give back."""
        return 0.1 * self.warm_seconds if self.long_enough else 0.0

    @property
    def rush(self) -> Rates:
        """What is begun in it."""
        return self.rates.scaled(3.0)

    @property
    def counted_seconds(self) -> float:
        """How long it runs after that."""
        return self.seconds - self.warm_seconds

    @property
    def long_enough(self) -> bool:
        """Whether every table has been full before anything was measured."""
        return self.warm_seconds > KEEP_SECONDS + SWEEP_SECONDS
