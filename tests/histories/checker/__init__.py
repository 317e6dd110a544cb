"""Whether a recorded history keeps the promises.

The checker looks for proofs of the contrary: it says that a promise was broken only where no order
of the operations, each somewhere between its sending and its answer (or, where the outcome is
unknown, anywhere after its sending), could have given these answers.
"""

from tests.histories.checker.audit import check_audit
from tests.histories.checker.chains import check_chains
from tests.histories.checker.codes import check_codes, check_pairings
from tests.histories.checker.registers import check_registers
from tests.histories.checker.revocations import check_revocations
from tests.histories.checker.sessions import Sessions
from tests.histories.checker.usability import check_usability
from tests.histories.checker.violation import Violation
from tests.histories.history import History

__all__ = ["Violation", "check"]

_CHECKS = (
    check_chains,
    check_revocations,
    check_usability,
    check_registers,
    check_codes,
    check_pairings,
    check_audit,
)


def check(history: History) -> list[Violation]:
    """Every violation that the history proves."""
    sessions = Sessions(history)
    return [violation for part in _CHECKS for violation in part(sessions)]
