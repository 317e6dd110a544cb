"""Decisions made in this process: no network, no awaiting, any number of threads.

A decision is made here only from a fresh view of the trust log; where that is not to be had, or
only the server can check the token, there is none, and the server has to be asked.
"""

from __future__ import annotations

from hashlib import sha256
from math import inf
from typing import TYPE_CHECKING, Final

from tokenservice._decisions.activity import ActivityLog
from tokenservice._decisions.authentication import authenticate, named_session, told_facts
from tokenservice._decisions.decision import Decision, Principal, decided_here
from tokenservice._decisions.requirements import Requirements
from tokenservice._decisions.signatures import Keyring
from tokenservice._decisions.token_cache import CachedToken, RefusalCache, TokenCache
from tokenservice.core import (
    AnchoredClock,
    Facts,
    Form,
    TrustState,
    Verdict,
    challenge,
    shape_of,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta

    from tokenservice._decisions.unknown_keys import UnknownKeys
    from tokenservice.core import Requirement, SignatureCheck

REFUSAL_SECONDS: Final = 1.0
"""How long a refusal is remembered."""

PRUNED: Final = 256
"""Entries of the trust log that one call of :meth:`LocalValidator.upkeep` drops at the most."""

_ACTIVE: Final = Verdict.ACTIVE
_WITH_PRINCIPAL: Final = frozenset({Verdict.INSUFFICIENT_SCOPE, Verdict.STEP_UP_REQUIRED})


class LocalValidator:
    """Judges tokens by what this process knows.

    ``trust`` holds the server's trust log with ``read_time`` as readings of ``clock.boot``
    (so that no server's clock is needed to tell how old the view is); whoever follows the feed
    keeps it, and one built without a network fills it by hand. ``staleness_limit`` is in seconds.
    ``unknown_keys`` says when to ask about a key that the view does not have; without it nobody is.
    """

    def __init__(
        self,
        *,
        trust: TrustState | None = None,
        clock: AnchoredClock | None = None,
        signatures: SignatureCheck | None = None,
        cache: TokenCache | None = None,
        activity: ActivityLog | None = None,
        staleness_limit: float = 5.0,
        unknown_keys: UnknownKeys | None = None,
    ) -> None:
        if not staleness_limit > 0:
            raise ValueError("the staleness limit must be positive")
        self.trust = trust if trust is not None else TrustState()
        self.clock = clock if clock is not None else AnchoredClock()
        self.cache = cache if cache is not None else TokenCache()
        self.activity = activity if activity is not None else ActivityLog()
        self.refusals = RefusalCache()
        self.staleness_limit = staleness_limit
        self.unknown_keys = unknown_keys
        self._signatures = signatures if signatures is not None else Keyring()
        self._requirements = Requirements()
        # For the fewest steps on the way that nearly every request takes.
        self._known = self._requirements.known
        self._cached = self.cache.get
        self._boot = self.clock.boot

    @property
    def revision(self) -> int:
        """Revision of the trust log up to which this validator knows it."""
        return self.trust.revision

    @property
    def floor(self) -> int:
        """The revision below which no answer may be made, whoever makes it: it is known here."""
        return self.trust.revision if self.trust.epoch else 0

    @property
    def view_age(self) -> float:
        """Seconds since the server read what this validator knows; infinite before it knows."""
        return self._boot() - self.trust.read_time

    @property
    def fresh(self) -> bool:
        """Whether the view is young enough to decide by."""
        return self.view_age <= self.staleness_limit

    def requirement(
        self,
        audience: str,
        scopes: Collection[str] = (),
        max_auth_age: timedelta | None = None,
        acr: str = "",
        confirmation: bytes = b"",
    ) -> Requirement:
        """Check and keep a route's demands; raises ValueError."""
        return self._requirements.make(audience, scopes, max_auth_age, acr, confirmation)

    def try_local(
        self,
        token: str,
        audience: str,
        scopes: Collection[str] = (),
        max_auth_age: timedelta | None = None,
        acr: str = "",
        confirmation: bytes = b"",
        min_revision: int = 0,
    ) -> Decision | None:
        """Decide, or None: ask the server. See :meth:`tokenservice.Validates.validate`."""
        try:
            requirement = self._known[audience, scopes, max_auth_age, acr, confirmation]
        except (KeyError, TypeError):
            requirement = self.requirement(audience, scopes, max_auth_age, acr, confirmation)
        return self.judge(token, requirement, min_revision)

    def judge(self, token: str, requirement: Requirement, min_revision: int = 0) -> Decision | None:
        """The same for a requirement that :meth:`requirement` made."""
        try:
            digest = sha256(token.encode()).digest()
        except UnicodeEncodeError:  # a lone surrogate: nothing that could be sent
            return self._refuse(Verdict.MALFORMED, requirement)
        entry = self._cached(digest)
        if entry is None:
            found = self._first_sight(token, digest, requirement, min_revision)
            if not isinstance(found, CachedToken):
                return found
            entry = found
        boot, trust = self._boot(), self.trust
        # The revision and the age of the view are read before the view: it is never older.
        revision = trust.revision
        if not boot - trust.read_time <= self.staleness_limit or min_revision > revision:
            return None
        now = boot + self.clock.offset
        decided = verdict(entry.facts, trust, requirement, now)
        if decided is not _ACTIVE:
            return self._refuse_authentic(entry, decided, requirement, revision, boot)
        if boot >= entry.look_at:
            if boot >= entry.until:
                return None
            self._touch(entry, boot, now)
        entry.used = True
        allowed = entry.allowed
        if allowed is None or allowed.revision != revision:
            allowed = entry.allow(revision)
        return allowed

    def judge_stale(
        self, token: str, requirement: Requirement, min_revision: int
    ) -> Decision | None:
        """Decide by a view that is too old, for a route that accepts the risk; or None.

        Only what was checked here, or can be, is allowed; what the old view knows of revocations
        still refuses. A view that is known to be wrong, and not just old, decides nothing.
        """
        trust, boot = self.trust, self._boot()
        if not trust.epoch or min_revision > trust.revision or not self.clock.anchored:
            return None
        digest = digest_of(token)
        entry = self._cached(digest)
        if entry is None:
            checked = authenticate(token, self.trust, self._signatures)
            entry = CachedToken(checked) if isinstance(checked, Facts) else None
        if entry is None or boot >= entry.until:
            return None
        decided = verdict(entry.facts, trust, requirement, boot + self.clock.offset)
        if decided is _ACTIVE:
            principal, known = entry.principal(), trust.revision
            return decided_here(_ACTIVE, 200, "", principal, known, reason="stale")
        if decided is Verdict.UNKNOWN or decided is Verdict.BINDING_MISMATCH:
            return None
        return self._refuse_authentic(entry, decided, requirement, trust.revision, boot)

    def learn(
        self,
        token: str,
        requirement: Requirement,
        principal: Principal,
        asked_at: float,
        max_age: float,
    ) -> None:
        """Keep what the server's answer says of a token that was not checked here.

        ``asked_at`` is a reading of ``clock.boot`` from before the question, ``max_age`` in
        seconds. The server has found the token authentic, so what is written in it holds; the
        answer tells what is not.
        """
        if not max_age > 0:
            return
        digest = digest_of(token)
        held = self._cached(digest)
        if held is not None and held.until == inf:
            return
        facts = told_facts(token, self.trust.issuer, principal, requirement.confirmation)
        if facts is None:
            return
        bound_maybe = bool(facts.confirmation) and shape_of(token).form is Form.OPAQUE_ACCESS
        entry = CachedToken(facts, asked_at + max_age, bound_maybe=bound_maybe)
        self.cache.put(digest, entry, self._boot() + self.clock.offset)

    def learn_refusal(
        self, token: str, requirement: Requirement, refused: Verdict, revision: int
    ) -> None:
        """Keep for a moment that the server refused a token for this requirement."""
        until = self._boot() + REFUSAL_SECONDS
        self.refusals.put(digest_of(token), refused, requirement, revision, until)

    def known_session(self, token: str) -> str:
        """The session that a token names, if tokens of it were good here lately; or ""."""
        entry = self._cached(digest_of(token))
        if entry is not None:
            return entry.facts.session_id
        session_id = named_session(token)
        return session_id if self.activity.knows(session_id) else ""

    def upkeep(self, at_most: int = 2_000) -> bool:
        """Let go of some of what has run out; to be called every second or so, by one task.

        Costs about a millisecond at the most; True says that there is more to let go of.
        """
        now = self.clock.now()
        pruned = self.trust.prune(now, PRUNED) if self.clock.settled else 0
        self.cache.sweep(now, at_most)
        return pruned == PRUNED

    def keys_changed(self) -> None:
        """Forget what was refused for want of a key."""
        self.refusals.clear()
        if self.unknown_keys is not None:
            self.unknown_keys.clear()

    def forget(self) -> None:
        """Forget all tokens: the log is another, or a key is not the key that it was."""
        self.cache.clear()
        self.keys_changed()

    # --- seen for the first time ---

    def _first_sight(
        self, token: str, digest: bytes, requirement: Requirement, min_revision: int
    ) -> CachedToken | Decision | None:
        """An authentic token, or a refusal, or None: ask the server."""
        form = shape_of(token).form
        if form is not Form.JWT and form is not Form.OPAQUE_ACCESS:
            malformed = form is Form.MALFORMED
            return self._refuse(Verdict.MALFORMED if malformed else Verdict.WRONG_KIND, requirement)
        boot, revision = self._boot(), self.trust.revision
        if not boot - self.trust.read_time <= self.staleness_limit or min_revision > revision:
            return None
        refused = self.refusals.get(digest, requirement, min_revision, boot)
        if refused is not None:
            return self._refuse(refused[0], requirement, refused[1])
        found = authenticate(token, self.trust, self._signatures, self._unknown_key)
        if found is None:
            return None
        if isinstance(found, Verdict):
            self.refusals.put(digest, found, None, revision, boot + REFUSAL_SECONDS)
            return self._refuse(found, requirement, revision)
        entry = CachedToken(found)
        self.cache.put(digest, entry, boot + self.clock.offset)
        return entry

    def _unknown_key(self, kid: str) -> Verdict | None:
        keys = self.unknown_keys
        asked = keys is not None and keys.ask_about(kid, self._boot())
        return None if asked else Verdict.UNKNOWN

    # --- answers ---

    def _touch(self, entry: CachedToken, boot: float, now: float) -> None:
        self.activity.touch(entry.facts.session_id, now)
        entry.look_at = min(boot + self.activity.sample, entry.until)

    def _refuse_authentic(
        self,
        entry: CachedToken,
        decided: Verdict,
        requirement: Requirement,
        revision: int,
        boot: float,
    ) -> Decision | None:
        if boot >= entry.until:
            return None
        if decided is Verdict.UNKNOWN and entry.until < inf:
            return None  # the server knew the token, with a key that the feed has yet to bring
        if decided is Verdict.BINDING_MISMATCH and entry.bound_maybe:
            return None
        principal = entry.principal() if decided in _WITH_PRINCIPAL else None
        return self._refuse(decided, requirement, revision, principal)

    def _refuse(
        self,
        decided: Verdict,
        requirement: Requirement,
        revision: int | None = None,
        principal: Principal | None = None,
    ) -> Decision:
        status, header = challenge(decided, requirement)
        known = self.trust.revision if revision is None else revision
        return decided_here(decided, status, header, principal, known)


def digest_of(token: str) -> bytes:
    """The key under which a token is remembered; the token itself never is."""
    return sha256(token.encode()).digest()
