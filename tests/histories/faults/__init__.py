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
