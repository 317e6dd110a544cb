"""Every fault of the matrix, in its order."""

from tests.histories.faults.nodes import NODES
from tests.histories.faults.postgres import POSTGRES
from tests.histories.faults.replication import REPLICATION
from tests.histories.nemesis import Nemesis

NEMESES: tuple[type[Nemesis], ...] = (*NODES, *POSTGRES, *REPLICATION)
