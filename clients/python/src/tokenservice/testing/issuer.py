"""An issuer of tokens in this process, with a clock that tests move."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import inf
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from tokenservice._decisions.local_validator import LocalValidator
from tokenservice._sync.background_loop import BackgroundLoop
from tokenservice._validator.assembled import AssembledValidator
from tokenservice._validator.sync_validator import SyncAssembledValidator
from tokenservice.core import (
    AnchoredClock,
    Facts,
    RevocationReason,
    TokenKind,
    TrustEffect,
    TrustEntry,
    TrustEntryKind,
    TrustState,
    parse_jwt,
)
from tokenservice.core.clock import boottime
from tokenservice.core.tokens.opaque import SESSION_PAYLOAD_LENGTH
from tokenservice.testing.tokens import SigningKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

SUBJECT: Final = "5f0c3e0a-9d0b-4b7e-8a39-0d6e1f0a1b2c"
"""Whose token it is, unless a test says otherwise."""

AUDIENCE: Final = "app"
ISSUER: Final = "https://tokens.test"
CLIENT_ID: Final = "test-client"
LIFETIME: Final = timedelta(minutes=5)

ALWAYS: Final = inf
NEVER: Final = -inf
"""When the log was read: never too long ago, or always."""

KEPT_SECONDS: Final = 1e10
"""An entry is kept for good: tests revoke little, and no second thread is to remove anything."""


class Issuer:
    """Makes real tokens and knows what was revoked: what applications need for their tests.

    ::

        issuer = Issuer(audience="orders")
        app = TokenMiddleware(app, validator=issuer.validator(), audience="orders", routes=...)
        token = issuer.token(scopes=["orders.read"])
        issuer.revoke(token=token)
        issuer.advance(timedelta(minutes=10))

    Validators of it are real ones that follow its log instead of a server's: they see at once
    what is revoked, and nothing here touches the network. Opaque tokens need a server.
    """

    def __init__(
        self,
        *,
        audience: str = AUDIENCE,
        issuer: str = ISSUER,
        subject: str = SUBJECT,
        client_id: str = CLIENT_ID,
        lifetime: timedelta = LIFETIME,
    ) -> None:
        """What is given here goes for tokens for which nothing else is said."""
        self.audience = audience
        self.issuer = issuer
        self.subject = subject
        self.client_id = client_id
        self.lifetime = lifetime
        self.revision = 0
        self._key = SigningKey(secrets.token_hex(8))
        self._epoch = str(uuid4())
        self._shift = 0.0
        self._unheard: list[TrustEntry] = []
        self._clock = AnchoredClock(lambda: boottime() + self._shift)
        reading = self._clock.boot()
        self._clock.anchor(time.time(), reading, reading)
        self._trust = TrustState()
        keys = [self._key.published()]
        self._trust.apply_snapshot(self._epoch, issuer, 0, reading, keys, ())
        self._trust.read_time = ALWAYS

    def validator(self) -> AssembledValidator:
        """Make a validator of this issuer's tokens; it may be used as a context manager."""
        return AssembledValidator(LocalValidator(trust=self._trust, clock=self._clock))

    def sync_validator(self) -> SyncAssembledValidator:
        """Make one for threads."""
        return SyncAssembledValidator(self.validator(), BackgroundLoop())

    def now(self) -> datetime:
        """Tell the issuer's time."""
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def advance(self, by: timedelta) -> None:
        """Let time pass, for the issuer and its validators; raises ValueError for a step back."""
        if by < timedelta(0):
            raise ValueError("time goes one way")
        self._shift += by.total_seconds()

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Cut the validators off: nobody answers them, and they do not hear what is revoked."""
        self._trust.read_time = NEVER
        try:
            yield
        finally:
            unheard, self._unheard = self._unheard, []
            self._tell(unheard)
            self._trust.read_time = ALWAYS

    def token(
        self,
        *,
        subject: str = "",
        scopes: Collection[str] = (),
        audience: str = "",
        expires_in: timedelta | None = None,
        auth_time: datetime | None = None,
        acr: str = "aal1",
        amr: Sequence[str] = ("pwd",),
        roles: Sequence[str] = (),
        client_id: str = "",
        session_id: str = "",
        device_id: str = "",
        confirmation: bytes = b"",
        rolling: bool = False,
    ) -> str:
        """Make an access token, or a rolling one.

        It belongs to a session of its own unless ``session_id`` (a UUID) says otherwise.
        ``expires_in`` may be negative. ``auth_time`` is the last login or step-up, by
        default now; ``confirmation`` is the SHA-256 thumbprint of the certificate
        that the token is bound to. Raises ValueError for what the service would not issue.
        """
        if isinstance(scopes, str):
            raise TypeError("scopes is a collection of names, not one name")
        lifetime = self.lifetime if expires_in is None else expires_in
        now = int(self._clock.now())
        expires_at = now + int(lifetime.total_seconds())
        facts = Facts(
            kind=TokenKind.ROLLING if rolling else TokenKind.ACCESS,
            subject=subject or self.subject,
            client_id=client_id or self.client_id,
            session_id=session_id or str(uuid4()),
            device_id=device_id,
            audience=audience or self.audience,
            scopes=frozenset(scopes),
            roles=tuple(roles),
            issued_at=min(now, expires_at - 1),
            expires_at=expires_at,
            auth_time=now if auth_time is None else int(auth_time.timestamp()),
            acr=acr,
            amr=tuple(amr),
            token_id=str(uuid4()),
            key_id=self._key.kid,
            rev=self.revision,
            confirmation=confirmation,
        )
        exchange = secrets.token_bytes(SESSION_PAYLOAD_LENGTH) if rolling else b""
        token = self._key.sign(facts, self.issuer, exchange)
        if parse_jwt(token, self.issuer).facts != facts:
            raise ValueError("the service would not issue such a token")
        return token

    def revoke(
        self,
        *,
        token: str = "",
        session_id: str = "",
        subject: str = "",
        device_id: str = "",
        client_id: str = "",
        everything: bool = False,
    ) -> int:
        """Revoke what is named, as of now; returns the revision of the trust log.

        An access token is revoked alone, a rolling one with its session. ``device_id`` narrows
        ``subject``. Raises ValueError unless exactly one thing is named.
        """
        kinds = TrustEntryKind
        of_subject = kinds.SUBJECT_DEVICE if device_id else kinds.SUBJECT
        named = [
            (kind, target)
            for kind, target in (
                self._of_token(token),
                (kinds.SESSION, session_id),
                (of_subject, subject),
                (kinds.CLIENT, client_id),
            )
            if target
        ]
        if everything:
            named.append((kinds.EVERYTHING, ""))
        if len(named) != 1 or (device_id and not subject):
            raise ValueError("exactly one thing is revoked at a time")
        return self._append(*named[0], device_id)

    def _of_token(self, token: str) -> tuple[TrustEntryKind, str]:
        if not token:
            return TrustEntryKind.TOKEN, ""
        facts = parse_jwt(token, self.issuer).facts
        if facts.kind is TokenKind.ROLLING:
            return TrustEntryKind.SESSION, facts.session_id
        return TrustEntryKind.TOKEN, facts.token_id

    def _append(self, kind: TrustEntryKind, target: str, device_id: str) -> int:
        self.revision += 1
        reason = RevocationReason.ADMINISTRATIVE
        keep_until = self._clock.now() + KEPT_SECONDS
        effect = TrustEffect.REVOKE
        entry = TrustEntry(
            revision=self.revision,
            kind=kind,
            id=target,
            device_id=device_id,
            effect=effect,
            keep_until=keep_until,
            reason=reason,
        )
        entry.check()
        if self._trust.read_time == NEVER:
            self._unheard.append(entry)
        else:
            self._tell([entry])
        return self.revision

    def _tell(self, entries: list[TrustEntry]) -> None:
        held, reading = self._trust.revision, self._clock.boot()
        self._trust.apply_delta(self._epoch, held, self.revision, reading, entries)
