"""Histories with a planted violation, and histories that are right."""

from tests.histories.planted import (
    audit,
    chains,
    codes,
    losses,
    registers,
    revocations,
    usability,
)
from tests.histories.planted.registry import ACCEPTED, PLANTED

__all__ = [
    "ACCEPTED",
    "PLANTED",
    "audit",
    "chains",
    "codes",
    "losses",
    "registers",
    "revocations",
    "usability",
]
