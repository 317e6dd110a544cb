"""A replicated PostgreSQL: one primary and its standbys, with failover by hand."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.namespaces import Namespace
from tests.support.postgres_member import DATABASE, Member
from tests.support.waiting import wait_until

__all__ = ["DATABASE", "Member", "PostgresCluster"]


class PostgresCluster:
    """A primary and standbys, all copies of one stopped server.

    Replication is synchronous with any one standby (`ANY 1`), or asynchronous. Nothing is decided
    here by itself: a test promotes, and says who follows whom. Everything blocks; use a thread
    from asynchronous code.
    """

    def __init__(
        self,
        folder: Path,
        template: Path,
        *,
        standbys: int = 2,
        synchronous: bool = True,
        namespace: Namespace | None = None,
    ) -> None:
        """`folder` is new; PostgreSQL's user must be able to pass through it (`open_dir`).

        `template` is the data directory of an `EmbeddedPostgres` that was stopped in good order.
        The first primary lives in `namespace`, where one is given.
        """
        names = [f"member{number}" for number in range(1, standbys + 2)]
        self._folder = folder
        folder.mkdir()
        folder.chmod(0o711)
        self.members: tuple[Member, ...] = tuple(
            self._member(folder, name, template, namespace, inside=number == 0)
            for number, name in enumerate(names)
        )
        self.primary = self.members[0]
        self._synchronous = f"ANY 1 ({', '.join(names)})" if synchronous else ""

    @staticmethod
    def _member(
        folder: Path, name: str, template: Path, namespace: Namespace | None, *, inside: bool
    ) -> Member:
        home = folder / "home"
        if namespace is None:
            return Member(folder, name, template, home)
        if not inside:
            return Member(folder, name, template, home, host=namespace.here)
        return Member(folder, name, template, home, host=namespace.address, inside=namespace)

    def start(self) -> None:
        """Start all; returns when every standby replicates."""
        for member in self.members:
            # A standby that is promoted waits for another one just as its predecessor did.
            member.configure(synchronous_standby_names=self._synchronous)
            if member is not self.primary:
                member.follow(self.primary)
            member.start()
        self.wait_for_standbys()

    def stop(self) -> None:
        """End all that runs. The primary goes first: it would wait for standbys that are gone."""
        self.primary.stop()
        for member in self.members:
            member.stop()

    def remove(self) -> None:
        """Drop the data of a stopped cluster."""
        shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def standbys(self) -> tuple[Member, ...]:
        """All but the primary."""
        return tuple(member for member in self.members if member is not self.primary)

    @property
    def dsn(self) -> str:
        """The address of the default database with all members as hosts, the first one first."""
        return self.dsn_over(self.members)

    def dsn_over(self, members: Sequence[Member], database: str = DATABASE) -> str:
        """The address with these members as hosts, in this order."""
        hosts = ",".join(member.address for member in members)
        return f"postgres://postgres:{self.primary.password}@{hosts}/{database}"

    def wait_for_standbys(self, *standbys: Member) -> None:
        """Wait until these (default: all) replicate from the primary, synchronously where due."""
        state = "quorum" if self._synchronous else "async"
        wanted = {f"{member.name}:{state}" for member in standbys or self.standbys}
        states = "SELECT application_name || ':' || sync_state FROM pg_stat_replication"
        wait_until(
            lambda: wanted <= set(self.primary.sql(states).split()),
            lambda: f"wanted {wanted}, there are {self.primary.sql(states).split()}",
        )

    def wait_for_replay(self, standby: Member) -> None:
        """Wait until the standby shows all that the primary has written by now."""
        written = self.primary.received()
        wait_until(lambda: standby.replayed() >= written)

    def lag(self, standby: Member) -> int:
        """How many bytes of the primary's log the standby does not show yet."""
        return self.primary.received() - standby.replayed()

    def most_advanced(self) -> Member:
        """The running standby that received most; the one to promote if nothing may be lost."""
        return max((one for one in self.standbys if one.running), key=Member.received)

    def promote(self, standby: Member) -> Member:
        """Make `standby` the primary, and return the former one, which is left as it is.

        The other standbys go on following whom they followed, until `repoint`.
        """
        former, self.primary = self.primary, standby
        standby.promote()
        return former

    def repoint(self, *standbys: Member) -> None:
        """Let these standbys follow the primary of now; they must not be ahead of it."""
        for member in standbys:
            member.follow(self.primary)
        self.wait_for_standbys(*standbys)

    def fail_over(self) -> Member:
        """Kill the primary and promote the most advanced standby; returns the one killed.

        Under synchronous replication nothing is lost: two of three members have every commit, and
        one of those two is promoted.
        """
        self.primary.crash()
        former = self.promote(self.most_advanced())
        self.repoint(*(one for one in self.standbys if one.running))
        return former

    def rejoin(self, former: Member) -> None:
        """Make a former primary a standby: what it alone has is taken back (pg_rewind)."""
        former.stop()
        former.rewind(self.primary)
        former.start()
        self.wait_for_standbys(former)
