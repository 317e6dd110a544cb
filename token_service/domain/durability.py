"""What the answer of a call rests on: readings alone, or a commit that a failover cannot lose.

PostgreSQL shows a commit that never reached the standby: its writer gave up waiting, and a failover
will lose it. So whoever finds that all is done already must not say so before a commit of its own
has reached the standby, and with it everything that stood before it. The rpc layer begins a
`Basis` for each call; stores note in it what they did.
"""

from contextvars import ContextVar

_basis: ContextVar["Basis | None"] = ContextVar("durability_basis", default=None)


class Basis:
    """Of one call: the trust log's `epoch` when it began (None: it is not known yet), and what its
    stores did since.

    `has_read` says that something was read since it began, or since the last commit; `committed`
    that nothing was read since the last commit.
    """

    __slots__ = ("committed", "epoch", "has_read")

    def __init__(self, epoch: str | None) -> None:
        self.epoch = epoch
        self.has_read = False
        self.committed = False


def start(epoch: str | None) -> Basis:
    """The basis of a call that begins, in a task that is all its own."""
    basis = Basis(epoch)
    _basis.set(basis)
    return basis


def current() -> Basis | None:
    """That of the call under way; None outside of calls."""
    return _basis.get()


def note_read() -> None:
    """What the call was told may be lost in a failover."""
    basis = _basis.get()
    if basis is not None:
        basis.has_read = True
        basis.committed = False


def note_commit() -> None:
    """The call's own commit came to its end, and nothing that it was told can be lost any more.

    For a statement that has certainly written a row, where replication is awaited by commits.
    """
    basis = _basis.get()
    if basis is not None:
        basis.has_read = False
        basis.committed = True
