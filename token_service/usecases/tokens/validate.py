"""Validate: identify the token once, decide about it on every request."""

from collections.abc import Sequence
from typing import NamedTuple

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission
from token_service.domain.ports import AccessTokens, Clock, SessionFacts, Trust
from token_service.domain.sessions.session import Session
from token_service.usecases.tokens.activity import ActivityRecorder
from token_service.usecases.tokens.identity_cache import Identified, IdentityCache
from tokenservice.core import (
    Facts,
    Form,
    MalformedToken,
    OpaqueAccess,
    Requirement,
    TokenError,
    TokenKind,
    UnknownKey,
    Verdict,
    acr_name,
    amr_names,
    shape_of,
    verdict,
)


class Answer(NamedTuple):
    """What is said of a token, and what it was said with: the trust log's `revision` and the time
    `now` in Unix seconds. `identified` is None for what is not an authentic token of ours."""

    verdict: Verdict
    requirement: Requirement
    identified: Identified | None
    revision: int
    now: float


class Question(NamedTuple):
    """One token with what is demanded of it; the answer is not older than `min_revision`."""

    token: str
    requirement: Requirement
    min_revision: int = 0


class Validate:
    """Answers whether a token may be used for a requirement, now.

    An unusable token is an answer, never an error. Raises PERMISSION_MISSING and
    AUDIENCE_NOT_ALLOWED for a caller that may not ask, and where the question cannot be answered:
    TRUST_STALE, REVISION_UNKNOWN, and STORE_UNAVAILABLE for an opaque token when no store answers.
    A token that was seen before is answered without waiting for a store.
    """

    def __init__(
        self,
        *,
        tokens: AccessTokens,
        sessions: SessionFacts,
        trust: Trust,
        clock: Clock,
        activity: ActivityRecorder,
        cache: IdentityCache,
    ) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._trust = trust
        self._clock = clock
        self._activity = activity
        self._cache = cache

    async def __call__(
        self, caller: Caller, token: str, requirement: Requirement, min_revision: int = 0
    ) -> Answer:
        """The answer for a caller that protects the audience."""
        caller.require(Permission.TOKENS_VALIDATE)
        _require_protected(caller, requirement.audience, "audience")
        return await self.judge(token, requirement, min_revision)

    async def many(self, caller: Caller, questions: Sequence[Question]) -> list[Answer]:
        """The answers to at least one question, in their order, all from one view of the trust
        log. What is in no memory is loaded together."""
        caller.require(Permission.TOKENS_VALIDATE)
        for index, asked in enumerate(questions):
            _require_protected(caller, asked.requirement.audience, f"requests[{index}].audience")
        found = await self._identify_many([asked.token for asked in questions])
        await self._trust.require_fresh(max(asked.min_revision for asked in questions))
        now = self._clock.unix()
        return [
            self._answer(asked.requirement, identified, now)
            for asked, identified in zip(questions, found, strict=True)
        ]

    async def judge(self, token: str, requirement: Requirement, min_revision: int = 0) -> Answer:
        """The same where the service asks for itself, and no caller has to be allowed to."""
        trust, clock = self._trust, self._clock
        now = clock.unix()
        if min_revision or not trust.is_fresh(now):
            await trust.require_fresh(min_revision)
            now = clock.unix()
        identified = self._identify_at_once(token)
        if identified is None:
            identified = await self._identify_opaque(token)
            await trust.require_fresh()  # time has passed
            now = clock.unix()
        return self._answer(requirement, identified, now)

    def _answer(
        self, requirement: Requirement, identified: Identified | Verdict, now: float
    ) -> Answer:
        """The verdict of this moment; a usable token counts as activity of its session."""
        state = self._trust.state
        if isinstance(identified, Verdict):
            return Answer(identified, requirement, None, state.revision, now)
        facts = identified.facts
        decided = verdict(facts, state, requirement, now)
        if decided is Verdict.ACTIVE:
            self._activity.touch(facts.session_id, now)
        return Answer(decided, requirement, identified, state.revision, now)

    def _identify_at_once(self, token: str) -> Identified | Verdict | None:
        """The token's identity facts, or a verdict where it has none; None for an opaque token
        that a store has to be asked about."""
        found = self._cache.get(token)
        if found is not None:
            return found
        form = shape_of(token).form
        if form is Form.OPAQUE_ACCESS:
            return None
        if form is not Form.JWT:
            return Verdict.MALFORMED if form is Form.MALFORMED else Verdict.WRONG_KIND
        try:
            return self._cache.put(token, self._tokens.authenticate_jwt(token))
        except TokenError as error:
            return self._refused(error)

    async def _identify_opaque(self, token: str) -> Identified | Verdict:
        access = self._authenticate_opaque(token)
        if isinstance(access, Verdict):
            return access
        session = await self._sessions.load(access.session_id, access.generation)
        return self._remember(token, access, session)

    async def _identify_many(self, tokens: Sequence[str]) -> list[Identified | Verdict]:
        found: dict[str, Identified | Verdict] = {}
        opaque: dict[str, OpaqueAccess] = {}
        for token in tokens:
            known = self._identify_at_once(token) or self._authenticate_opaque(token)
            if isinstance(known, OpaqueAccess):
                opaque[token] = known
            else:
                found[token] = known
        if opaque:
            wanted: dict[str, int] = {}
            for access in opaque.values():
                newest = max(access.generation, wanted.get(access.session_id, 0))
                wanted[access.session_id] = newest
            sessions = await self._sessions.load_many(wanted)
            for token, access in opaque.items():
                found[token] = self._remember(token, access, sessions.get(access.session_id))
        return [found[token] for token in tokens]

    def _authenticate_opaque(self, token: str) -> OpaqueAccess | Verdict:
        try:
            return self._tokens.authenticate_opaque(token)
        except TokenError as error:
            return self._refused(error)

    def _remember(
        self, token: str, access: OpaqueAccess, session: Session | None
    ) -> Identified | Verdict:
        facts = opaque_facts(access, session) if session else None
        return self._cache.put(token, facts) if facts else Verdict.UNKNOWN

    def _refused(self, error: TokenError) -> Verdict:
        """The verdict on what was not authenticated. Of a token that names a compromised key
        nobody can tell whether it was ours: it is answered like those that were seen before."""
        if isinstance(error, UnknownKey) and self._trust.state.view.key_revoked(error.kid):
            return Verdict.REVOKED
        return Verdict.MALFORMED if isinstance(error, MalformedToken) else Verdict.UNKNOWN


def _require_protected(caller: Caller, audience: str, field: str) -> None:
    if audience not in caller.policy.protects_audiences:
        raise TokenServiceError(
            Reason.AUDIENCE_NOT_ALLOWED, "the caller does not protect this audience", field=field
        )


def opaque_facts(access: OpaqueAccess, session: Session) -> Facts | None:
    """The facts of an opaque access token, given its session; None when they do not fit."""
    if access.audience_index >= len(session.audiences):
        return None
    if access.scope_mask >> len(session.scopes):
        return None
    scopes = (name for bit, name in enumerate(session.scopes) if access.scope_mask >> bit & 1)
    return Facts(
        kind=TokenKind.ACCESS,
        subject=session.subject,
        client_id=session.client_id,
        session_id=str(session.session_id),
        device_id=session.device.device_id,
        audience=session.audiences[access.audience_index],
        scopes=frozenset(scopes),
        roles=session.roles,
        issued_at=access.issued_at,
        expires_at=access.expires_at,
        auth_time=access.auth_time,
        acr=acr_name(access.acr),
        amr=amr_names(access.amr),
        token_id=access.token_id,
        key_id=access.key_id,
        rev=access.rev,
        confirmation=session.confirmation,
    )
