"""The token model in plain Python: sessions, exchanges, verdicts and revocations.

It follows the text of the model and shares no code with the service but the enums. Ids and
tokens are the service's to choose: the model learns them from its answers. Times are Unix
seconds; the test's clock stands still between steps, so they are exact.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import floor

from tests.e2e.model_keys import Keys
from tests.e2e.model_records import (
    ACTIVITY_INTERVAL,
    ADMIN,
    AUDIENCES,
    GATEWAY,
    SCOPES,
    SERVICE,
    UNREADABLE,
    Access,
    Client,
    Credential,
    Entry,
    Handout,
    Refused,
    Session,
    User,
    demo_clients,
)
from tokenservice.core import KeyState, Platform, TokenKind, TrustEffect, TrustEntryKind, Verdict


@dataclass
class Model:
    """The whole service. Methods raise Refused for what it must refuse."""

    now: float
    keys: Keys = field(default_factory=Keys)
    head: int = 0
    valid_rev: int = 0
    clients: dict[str, Client] = field(default_factory=demo_clients)
    sessions: list[Session] = field(default_factory=list)
    credentials: dict[str, Credential] = field(default_factory=dict)
    accesses: dict[str, Access] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    devices: dict[tuple[str, str], int] = field(default_factory=dict)

    def begin(self, now: float, head: int) -> None:
        """Begin anew where the service stands, with no session and no token."""
        self.now, self.head = now, head
        for forgotten in (self.sessions, self.entries):
            forgotten.clear()
        self.credentials.clear()
        self.accesses.clear()

    # --- layer 2 ---

    def issue(
        self,
        client: Client,
        user: User | None,
        right_password: bool,
        audiences: tuple[str, ...],
        scopes: frozenset[str],
        device: str,
    ) -> Handout:
        """Log a user in, or the client itself."""
        if user is None and client.platform is not Platform.API:
            raise Refused("PLATFORM_NOT_ALLOWED")
        if user is not None and (user.disabled or not right_password):
            raise Refused("CREDENTIALS_INVALID")
        allowed = {*AUDIENCES, SERVICE} if user is None else set(AUDIENCES)
        if not set(audiences) <= allowed:
            raise Refused("AUDIENCE_NOT_ALLOWED")
        granted = (scopes or SCOPES) & SCOPES & (SCOPES if user is None else user.scopes)
        if not granted:
            raise Refused("SCOPE_NOT_ALLOWED")
        chosen = audiences or AUDIENCES
        if client.kind is TokenKind.ROLLING:
            if len(audiences) > 1:
                raise Refused("FIELD_INVALID")
            chosen = chosen[:1]
        absolute_at = self.now + client.absolute
        session = Session(
            client=client,
            user=user,
            audiences=chosen,
            scopes=granted,
            device=device,
            rev=self.head,
            auth_time=self.now,
            rotated_at=self.now,
            last_active=self.now,
            idle_at=min(self.now + client.idle, absolute_at),
            absolute_at=absolute_at,
            mint_kid=self.keys.active("MINT"),
            roles=frozenset() if user is None else user.roles,
        )
        self.sessions.append(session)
        return self._handout(session, chosen, granted)

    def exchange(
        self,
        caller: str,
        token: str,
        exchange_id: bytes,
        audiences: tuple[str, ...] = (),
        scopes: frozenset[str] = frozenset(),
        *,
        password: tuple[str, str] | None = None,
        within: float | None = None,
    ) -> Handout:
        """Exchange, or with a `password` (of whom, which) Reauthenticate."""
        credential = self.credential(token)
        session = self.require_live(caller, credential)
        purpose = "exchange" if password is None else "reauthenticate"
        current = credential.generation == session.generation
        again = not current and self._made_by(session, credential, exchange_id, within)
        replay = again and session.made_for == purpose
        if again and not replay:
            raise Refused("TOKEN_SUPERSEDED")
        if not current and not replay:
            self.revoke_session(session)
            raise Refused("TOKEN_REUSED")
        chosen, granted = self._narrowed(session, audiences, scopes)
        if password is not None:
            if session.user is None:
                raise Refused("CREDENTIAL_NOT_ALLOWED")
            if password != (session.user.username, session.user.password):
                raise Refused("CREDENTIALS_INVALID")
        if current:
            self._advance(session, purpose, exchange_id)
        return self._handout(session, chosen, granted, replayed=replay)

    def _made_by(
        self, session: Session, credential: Credential, exchange_id: bytes, within: float | None
    ) -> bool:
        """Whether this id made the current generation from this token, in the replay window."""
        window = session.client.window if within is None else min(within, session.client.window)
        return (
            credential.generation == session.generation - 1
            and exchange_id != b""
            and session.made_by == exchange_id
            and self.now < session.rotated_at + window
        )

    def credential(self, token: str) -> Credential:
        """The authentic session token."""
        credential = self.credentials.get(token)
        if credential is None:
            raise Refused("TOKEN_MALFORMED")
        if self.keys.state(credential.mint_kid) is KeyState.COMPROMISED:
            raise Refused("TOKEN_REVOKED")
        if credential.session.gone:
            raise Refused("TOKEN_EXPIRED")
        return credential

    def require_live(self, caller: str, credential: Credential) -> Session:
        """The caller's own live session."""
        session = credential.session
        if session.client.client_id != caller:
            raise Refused("CLIENT_MISMATCH")
        if self._dead(session):
            raise Refused("TOKEN_REVOKED")
        if self._over(session):
            raise Refused("TOKEN_EXPIRED")
        return session

    def current(self, caller: str, token: str) -> Session:
        """The live session whose current token this is."""
        credential = self.credential(token)
        session = self.require_live(caller, credential)
        if credential.generation != session.generation:
            raise Refused("TOKEN_SUPERSEDED")
        return session

    def live(self, subject: str) -> list[Session]:
        """The live sessions of a user, or of a client itself."""
        return [one for one in self.sessions if one.subject == subject and self.is_live(one)]

    def is_live(self, session: Session) -> bool:
        """Whether the session can still be used."""
        return not (session.gone or self._dead(session) or self._over(session))

    def sweep(self) -> None:
        """Sessions past their absolute expiry are forgotten."""
        for session in self.sessions:
            session.gone = self.now >= session.absolute_at
        self.sessions = [session for session in self.sessions if not session.gone]

    # --- layer 3 ---

    def verdict(
        self, token: str, audience: str, scopes: Iterable[str], max_auth_age: float | None
    ) -> Verdict:
        """What Validate must answer; a usable token counts as activity of its session."""
        access = self.accesses.get(token)
        if access is None:
            return Verdict.WRONG_KIND if token in self.credentials else Verdict.MALFORMED
        decided = self._judge(access, audience, frozenset(scopes), max_auth_age)
        if decided is Verdict.ACTIVE:
            access.session.used_at = self.now
        return decided

    def _judge(
        self, access: Access, audience: str, scopes: frozenset[str], max_auth_age: float | None
    ) -> Verdict:
        key = self.keys.state(access.key_id)
        if key is KeyState.COMPROMISED:
            return Verdict.REVOKED
        if not self._identify(access) or key in UNREADABLE:
            return Verdict.UNKNOWN
        if audience != access.audience:
            return Verdict.WRONG_AUDIENCE
        effects = {entry.effect for entry in self.entries if _hits(entry, access)}
        over = self.now >= access.expires_at
        if effects or over:
            revoked = TrustEffect.REVOKE in effects and not over
            return Verdict.REVOKED if revoked else Verdict.EXPIRED
        if not scopes <= access.scopes:
            return Verdict.INSUFFICIENT_SCOPE
        if max_auth_age is not None and self.now - access.auth_time > max_auth_age:
            return Verdict.STEP_UP_REQUIRED
        return Verdict.ACTIVE

    def _identify(self, access: Access) -> bool:
        """Whether the service can tell whose token it is; once it could, it remembers."""
        unreadable = self.keys.state(access.key_id) in UNREADABLE
        if not unreadable and not (access.session.client.opaque and access.session.gone):
            access.identified = True
        return access.identified

    def write_activity(self) -> None:
        """Write the latest use of each session that was used, once in an interval; a use that
        comes earlier is kept until then."""
        for session in self.sessions:
            used = session.used_at
            if used is None or self.now < session.rests_until:
                continue
            session.used_at = None
            if not self.is_live(session):
                session.rests_until = self.now + ACTIVITY_INTERVAL
                continue
            session.rests_until = used + ACTIVITY_INTERVAL
            if used > session.last_active:
                session.last_active = used
                slid = max(session.idle_at, used + session.client.idle)
                session.idle_at = min(slid, session.absolute_at)

    # --- revocation ---

    def append(
        self,
        kind: TrustEntryKind,
        id_: str = "",
        device: str = "",
        effect: TrustEffect = TrustEffect.REVOKE,
    ) -> int:
        """Add an entry to the trust log; its revision."""
        self.head += 1
        self.entries.append(Entry(self.head, kind, id_, device, effect))
        return self.head

    def revoke_session(self, session: Session) -> int:
        """End the session, once; how many live ones that were."""
        if session.revoked:
            return 0
        count = int(self.is_live(session))
        session.revoked = True
        self.append(TrustEntryKind.SESSION, session.session_id)
        return count

    def revoke_token(self, caller: str, token: str) -> int:
        """End an access token, or the session of a session or rolling token (RFC 7009)."""
        credential = self.credentials.get(token)
        if credential is not None:
            session, key = credential.session, self.keys.state(credential.mint_kid)
            if key in UNREADABLE or session.gone:
                return self._revoke_by_claims(caller, token)
            if caller not in (session.client.client_id, ADMIN):
                raise Refused("CLIENT_MISMATCH")
            return self.revoke_session(session)
        access = self.accesses.get(token)
        if access is None or self.keys.state(access.key_id) in UNREADABLE:
            return 0
        session = access.session
        if session.client.opaque and session.gone:  # whose it was is not known any more
            self._append_for(access)
            return 0
        protects = caller == GATEWAY and access.audience in AUDIENCES
        if caller not in (session.client.client_id, ADMIN) and not protects:
            raise Refused("CLIENT_MISMATCH")
        if not self._is_revoked(access):
            self._append_for(access)
        return 0

    def _revoke_by_claims(self, caller: str, token: str) -> int:
        """What a rolling token says of itself, without its session's row."""
        access = self.accesses.get(token)
        if access is None or self.keys.state(access.key_id) in UNREADABLE:
            return 0
        if caller not in (access.session.client.client_id, ADMIN):
            raise Refused("CLIENT_MISMATCH")
        if not self._is_revoked(access):
            self.append(TrustEntryKind.SESSION, access.session.session_id)
        return 0

    def _append_for(self, access: Access) -> None:
        if self.now < access.expires_at:
            self.append(TrustEntryKind.TOKEN, access.token_id)

    def _is_revoked(self, access: Access) -> bool:
        """Whether the log kills it already."""
        hits = (entry for entry in self.entries if _hits(entry, access))
        return any(entry.effect is TrustEffect.REVOKE for entry in hits)

    def _dead(self, session: Session) -> bool:
        user, client = session.user, session.client
        floor_ = max(
            self.valid_rev,
            client.valid_rev,
            client.own_valid_rev if user is None else user.valid_rev,
            self.devices.get((session.subject, session.device), 0) if session.device else 0,
        )
        return (
            session.revoked
            or session.rev < floor_
            or (user is not None and user.disabled)
            or self.keys.state(session.mint_kid) is KeyState.COMPROMISED
        )

    def _over(self, session: Session) -> bool:
        return self.now >= session.idle_at or self.now >= session.absolute_at

    def _narrowed(
        self, session: Session, audiences: tuple[str, ...], scopes: frozenset[str]
    ) -> tuple[tuple[str, ...], frozenset[str]]:
        if not scopes <= session.scopes:
            raise Refused("SCOPE_WIDENED")
        if not set(audiences) <= set(session.audiences):
            raise Refused("AUDIENCE_NOT_ALLOWED")
        granted = (scopes or session.scopes) & SCOPES
        if session.user is not None:
            granted &= session.user.scopes
        if not granted:
            raise Refused("SCOPE_NOT_ALLOWED")
        return audiences or session.audiences, granted

    def _advance(self, session: Session, purpose: str, exchange_id: bytes) -> None:
        session.generation += 1
        session.made_for, session.made_by = purpose, exchange_id
        session.mint_kid = self.keys.active("MINT")
        session.rotated_at = session.last_active = self.now
        session.idle_at = min(self.now + session.client.idle, session.absolute_at)
        session.roles = frozenset() if session.user is None else session.user.roles
        if purpose == "reauthenticate":
            session.auth_time = self.now

    def _handout(
        self,
        session: Session,
        audiences: tuple[str, ...],
        scopes: frozenset[str],
        *,
        replayed: bool = False,
    ) -> Handout:
        session.roles_by_generation[session.generation] = session.roles
        rolling = session.client.kind is TokenKind.ROLLING
        issued_at = floor(session.rotated_at if rolling else self.now)
        # A rolling token's times are its generation's: a replay has the same.
        start = issued_at if rolling else self.now
        expires_at = floor(min(start + session.client.life, session.absolute_at))
        return Handout(session, audiences, scopes, self.head, issued_at, expires_at, replayed)


def _hits(entry: Entry, access: Access) -> bool:
    """Whether an entry kills the token: by identity, or what was issued before it."""
    session = access.session
    by_identity = {
        TrustEntryKind.TOKEN: access.token_id,
        TrustEntryKind.SESSION: session.session_id,
        TrustEntryKind.KEY: access.key_id,
    }
    if entry.kind in by_identity:
        return entry.id == by_identity[entry.kind]
    by_revision = {
        TrustEntryKind.SUBJECT: entry.id == session.subject,
        TrustEntryKind.SUBJECT_DEVICE: (entry.id, entry.device)
        == (session.subject, session.device),
        TrustEntryKind.CLIENT: entry.id == session.client.client_id,
        TrustEntryKind.EVERYTHING: True,
    }
    return by_revision[entry.kind] and access.rev < entry.revision
