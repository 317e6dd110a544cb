"""Validate: identify the token once, decide about it on every request."""

from collections.abc import Sequence

from token_service.domain.ports import AccessTokens, Clock, SessionFacts, Trust
from token_service.domain.records import Session
from token_service.usecases.activity import ActivityRecorder
from token_service.usecases.identity_cache import Identified, IdentityCache
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


class Validate:
    """Answers whether a token may be used for a requirement, now.

    The caller has made sure that the trust view is fresh (`Trust.require_fresh`). `known` and
    `decide` are synchronous and touch no store: together they are the warm path.
    """

    def __init__(
        self,
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
        self.known = cache.get

    def identify_at_once(self, token: str) -> Identified | Verdict | None:
        """Like `identify`, as far as no store is needed; None where one is."""
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

    async def identify(self, token: str) -> Identified | Verdict:
        """The token's identity facts; a verdict where it has none. An unusable token is never an
        error. Raises STORE_UNAVAILABLE for an opaque token when no store answers.
        """
        found = self.identify_at_once(token)
        if found is not None:
            return found
        access = self._authenticate_opaque(token)
        if isinstance(access, Verdict):
            return access
        session = await self._sessions.load(access.session_id, access.generation)
        return self._remember(token, access, session)

    async def identify_many(self, tokens: Sequence[str]) -> list[Identified | Verdict]:
        """The same for many tokens in their order; what is in no memory is loaded together."""
        found: dict[str, Identified | Verdict] = {}
        opaque: dict[str, OpaqueAccess] = {}
        for token in tokens:
            known = self.identify_at_once(token) or self._authenticate_opaque(token)
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

    def decide(self, facts: Facts, requirement: Requirement) -> Verdict:
        """The verdict of this moment; a usable token counts as activity of its session."""
        now = self._clock.unix()
        decided = verdict(facts, self._trust.state, requirement, now)
        if decided is Verdict.ACTIVE:
            self._activity.touch(facts.session_id, now)
        return decided


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
