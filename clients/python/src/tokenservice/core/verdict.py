"""The one decision of this system: may this token do that, now.

The same function answers on the server and in every gateway, so the two cannot disagree.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from tokenservice.core.facts import Facts, Requirement, acr_satisfies
from tokenservice.core.kinds import TokenKind, TrustEffect, Verdict

if TYPE_CHECKING:
    from tokenservice.core.trust import TrustState

MAX_CLOCK_SKEW: Final = 60
"""Seconds by which a token may seem to be from the future (nodes' clocks differ)."""

# Looked up once: attribute access on an enum class costs more than a global.
_ACCESS: Final = TokenKind.ACCESS
_ROLLING: Final = TokenKind.ROLLING
_ACTIVE: Final = Verdict.ACTIVE
_REVOKE: Final = TrustEffect.REVOKE


def verdict(facts: Facts, trust: TrustState, requirement: Requirement, now: float) -> Verdict:
    """Judge a token by its facts, the trust log, the route's demands and the time.

    ``facts`` must be authentic (signature or MAC checked) and ``trust`` fresh: neither is
    looked at here. ``now`` is in Unix seconds of the server's clock; a NaN never passes.

    The first that applies is the answer:

    1. WRONG_KIND: not a token for calls.
    2. UNKNOWN: its key is not known (REVOKED: because it was compromised), or the token is
       from the future by more than a minute.
    3. WRONG_AUDIENCE, BINDING_MISMATCH: it was not issued for this place or this caller.
    4. EXPIRED, REVOKED: it was good once. A narrowed token reads EXPIRED, for its holder
       shall exchange, not log in.
    5. INSUFFICIENT_SCOPE, STEP_UP_REQUIRED: it is good, and not enough.
    6. ACTIVE.

    Whose token it is comes before what became of it, so a gateway learns nothing of the state
    of tokens that were not meant for it; and only a live token is worth a step-up.
    """
    kind = facts.kind
    if kind is not _ACCESS and kind is not _ROLLING:
        return Verdict.WRONG_KIND
    view = trust.view
    if facts.key_id not in view.verifiable:
        return Verdict.REVOKED if view.key_revoked(facts.key_id) else Verdict.UNKNOWN
    if facts.audience != requirement.audience:
        return Verdict.WRONG_AUDIENCE
    if facts.confirmation and not compare_digest(facts.confirmation, requirement.confirmation):
        return Verdict.BINDING_MISMATCH
    # Comparisons are written so that a NaN fails them.
    if not now < facts.expires_at:
        return Verdict.EXPIRED
    if not facts.issued_at <= now + MAX_CLOCK_SKEW:
        return Verdict.UNKNOWN
    effect = view.status(facts)
    if effect is not None:
        return Verdict.REVOKED if effect is _REVOKE else Verdict.EXPIRED
    if not requirement.scopes <= facts.scopes:
        return Verdict.INSUFFICIENT_SCOPE
    if requirement.max_auth_age is not None or requirement.acr:
        return _step_up(facts, requirement, now)
    return _ACTIVE


def _step_up(facts: Facts, requirement: Requirement, now: float) -> Verdict:
    most = requirement.max_auth_age
    if most is not None and not -MAX_CLOCK_SKEW <= now - facts.auth_time <= most:
        return Verdict.STEP_UP_REQUIRED
    if requirement.acr and not acr_satisfies(facts.acr, requirement.acr):
        return Verdict.STEP_UP_REQUIRED
    return _ACTIVE
