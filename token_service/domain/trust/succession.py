"""Whether the database that is read is still the one whose log a node has followed.

A primary that fails is succeeded by another server, which may lack the end of what was
acknowledged. Numbers of the log would then be given out twice, and revocations be undone, with
nothing to show for it. So each reading is judged before anything is taken over from it: by what
the server says it is, by what was recorded of the last one, and by what this node remembers.
"""

from dataclasses import dataclass
from enum import Enum, auto

from token_service.domain.trust.reading import TrustReading

JUMP = 1_000_000
"""How far a new epoch lifts revision and versions: more than any node can be ahead of a log that
lost its end. So no number is ever given out again."""


class Step(Enum):
    """What has to be done before a reading may be taken over."""

    NOTHING = auto()
    RECORD = auto()
    """Write down which server it is: that was not known yet."""
    SUCCEED = auto()
    """Begin a new epoch, in which all sessions go on: nothing acknowledged is missing."""
    WAIT = auto()
    """Leave it to a node that lived through the change; if there is none in time, `FENCE`."""
    FENCE = auto()
    """Begin a new epoch in which everyone logs in again."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The step, and for operators the reason in plain words."""

    step: Step
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """How far a node has seen the log of `epoch`; `acknowledged` is the highest revision that was
    acknowledged to it, of this epoch or of a later one that it has not seen yet."""

    epoch: str
    revision: int
    beat: int
    acknowledged: int = 0

    @property
    def known(self) -> int:
        """The highest revision of this epoch that the node knows to have been committed."""
        ahead = self.acknowledged - self.revision
        return self.acknowledged if 0 < ahead < JUMP else self.revision


@dataclass(frozen=True, slots=True)
class Ended:
    """How far a log had come, in the database that is read, when its epoch ended."""

    revision: int
    beat: int


def judge(memory: Memory | None, reading: TrustReading, ended: Ended | None) -> Decision:
    """What a reading calls for. `memory` is from before the question was sent, None on a node that
    has taken over no reading yet; `ended` belongs to the epoch of `memory`, None where that has
    not ended in this database."""
    if memory is None or memory.epoch == reading.epoch:
        if memory is not None and _is_behind(memory, Ended(reading.revision, reading.beat)):
            return Decision(Step.FENCE, f"the log is behind revision {memory.known} or its beat")
        return _judge_server(memory, reading)
    # Everyone has logged in again since: what that epoch lost cannot be used any more.
    fenced = reading.valid_rev > (memory.known if ended is None else ended.revision)
    if not fenced and (ended is None or _is_behind(memory, ended)):
        return Decision(Step.FENCE, f"another log succeeded, behind revision {memory.known}")
    return _judge_server(None, reading)


def _is_behind(memory: Memory, log: Ended) -> bool:
    return log.revision < memory.known or log.beat < memory.beat


def _judge_server(memory: Memory | None, reading: TrustReading) -> Decision:
    """`memory` is None where the node has not lived in the epoch that is read."""
    server, recorded = reading.server, reading.recorded
    if recorded.system_identifier not in (None, server.system_identifier):
        return Decision(Step.FENCE, "another database system, or one that cannot be told")
    if recorded.timeline in (None, server.timeline):
        return Decision(Step.NOTHING if server == recorded else Step.RECORD)
    if recorded.system_identifier is None:
        return Decision(Step.FENCE, "the system identifier cannot be read")
    if server.timeline is None or recorded.timeline is None:
        return Decision(Step.FENCE, "the timeline cannot be read")
    change = f"timeline {recorded.timeline} was succeeded by {server.timeline}"
    if server.timeline < recorded.timeline:
        return Decision(Step.FENCE, f"{change}, an earlier one")
    if not reading.synchronous:
        return Decision(Step.FENCE, f"{change} while replication was not synchronous")
    if memory is None:
        return Decision(Step.WAIT, f"{change}, and this node has not seen the end of it")
    return Decision(Step.SUCCEED, change)
