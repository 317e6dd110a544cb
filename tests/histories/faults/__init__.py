"""Every fault of the matrix, in its order."""

from tests.histories.faults.contention import CONTENTION
from tests.histories.faults.nodes import NODES
from tests.histories.faults.patroni import PATRONI
from tests.histories.faults.postgres import POSTGRES
from tests.histories.faults.replication import REPLICATION
from tests.histories.faults.rotation import ROTATION
from tests.histories.faults.topologies import TOPOLOGIES
from tests.histories.faults.valkey import VALKEY
from tests.histories.nemesis import Nemesis

NEMESES: tuple[type[Nemesis], ...] = (
    *NODES,
    *POSTGRES,
    *CONTENTION,
    *REPLICATION,
    *PATRONI,
    *VALKEY,
    *TOPOLOGIES,
    *ROTATION,
)

SHORT = (
    "node-frozen",
    "node-cut-from-postgres",
    "sigterm-rolling",
    "postgres-killed",
    "replies-swallowed",
    "rows-locked",
    "lossy-failover",
    "restored-with-fence",
)
"""Those that are run for every change."""
IN_TESTS = ("node-killed", "postgres-restarted", "connections-terminated", "redis-readonly")
"""Those that `make test` runs as well, for a few seconds."""
