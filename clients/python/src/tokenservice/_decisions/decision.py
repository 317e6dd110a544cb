"""What a validator answers, and what validators have in common.

A refusal is an answer, never an exception: it says which HTTP status and ``WWW-Authenticate``
value the gateway should send on. A question that nobody could answer is refused as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from tokenservice._times import moment
from tokenservice.core import Verdict

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta

    from tokenservice.core import Facts, TokenKind

OnStale: TypeAlias = Literal["ask", "allow_until_expiry"]
"""What a route does with a token that was checked here when the trust feed is too old and the
server does not answer: "ask" refuses it; "allow_until_expiry" goes on accepting it until it
expires, **although it may have been revoked meanwhile**."""

UNANSWERED_STATUS: Final = 503
"""HTTP status of a question that nobody could answer (RFC 9110, section 15.6.4)."""


class Source(Enum):
    """Who decided."""

    LOCAL = "local"
    """This process, from its own view of the trust log."""
    REMOTE = "remote"
    """The server, asked about this very request."""
    NONE = "none"
    """Nobody could."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who presented a token, and what it allows. Times are whole seconds, in UTC.

    ``device_id`` is "" when the client named none, ``acr`` the level of the login (NIST SP
    800-63B-4; "aal1", as users have no second factors yet), ``token_id`` an identifier and no
    secret (RFC 7519, jti).
    """

    subject: str
    client_id: str
    session_id: str
    device_id: str
    kind: TokenKind
    scopes: frozenset[str]
    roles: tuple[str, ...]
    audience: str
    issued_at: datetime
    expires_at: datetime
    auth_time: datetime
    acr: str
    amr: tuple[str, ...]
    token_id: str

    @classmethod
    def of(cls, facts: Facts) -> Principal:
        """Show what an authentic token says."""
        return cls(
            subject=facts.subject,
            client_id=facts.client_id,
            session_id=facts.session_id,
            device_id=facts.device_id,
            kind=facts.kind,
            scopes=facts.scopes,
            roles=facts.roles,
            audience=facts.audience,
            issued_at=moment(facts.issued_at),
            expires_at=moment(facts.expires_at),
            auth_time=moment(facts.auth_time),
            acr=facts.acr,
            amr=facts.amr,
            token_id=facts.token_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer for one request.

    ``principal`` is present when the verdict is ACTIVE, INSUFFICIENT_SCOPE or STEP_UP_REQUIRED.
    ``revision`` is that of the trust log which the answer was made from, 0 when unanswered.
    ``reason`` is "" for a plain verdict. Unanswered (verdict UNSPECIFIED, status 503), it says
    why: "stale", "unreachable", "overloaded", or the server's reason for refusing the question.
    An ACTIVE with reason "stale" is one that ``on_stale="allow_until_expiry"`` let through.
    """

    verdict: Verdict
    http_status: int
    www_authenticate: str
    principal: Principal | None
    source: Source
    revision: int
    reason: str = ""

    @property
    def active(self) -> bool:
        """Whether the request may go on; everything else refuses it."""
        return self.verdict is Verdict.ACTIVE

    @property
    def answered(self) -> bool:
        """Whether the refusal, if it is one, is about the token and not about our reach."""
        return self.source is not Source.NONE


def decided_here(
    verdict: Verdict,
    status: int,
    header: str,
    principal: Principal | None,
    revision: int,
    *,
    reason: str = "",
) -> Decision:
    """An answer from this process's own view of the trust log."""
    return Decision(
        verdict=verdict,
        http_status=status,
        www_authenticate=header,
        principal=principal,
        source=Source.LOCAL,
        revision=revision,
        reason=reason,
    )


def unanswered(reason: str) -> Decision:
    """Refuse because the question could not be answered."""
    return Decision(
        verdict=Verdict.UNSPECIFIED,
        http_status=UNANSWERED_STATUS,
        www_authenticate="",
        principal=None,
        source=Source.NONE,
        revision=0,
        reason=reason,
    )


class Validates(Protocol):
    """Judges tokens for routes; see :class:`tokenservice.Validator`."""

    async def validate(
        self,
        token: str,
        *,
        audience: str,
        scopes: Collection[str] = (),
        max_auth_age: timedelta | None = None,
        acr: str = "",
        confirmation: bytes = b"",
        min_revision: int = 0,
        on_stale: OnStale = "ask",
    ) -> Decision:
        """Decide whether ``token`` may do what the route demands, now.

        ``confirmation`` is the SHA-256 thumbprint (32 bytes) of the client certificate on the
        connection, b"" for none; the answer is not made from a
        state of the trust log older than ``min_revision``. Raises ValueError for a demand that
        no token could be judged by, and never for anything that ``token`` holds.
        """
        ...


class ValidatesSync(Protocol):
    """The same for threads; see :class:`tokenservice.SyncValidator`."""

    def validate(
        self,
        token: str,
        *,
        audience: str,
        scopes: Collection[str] = (),
        max_auth_age: timedelta | None = None,
        acr: str = "",
        confirmation: bytes = b"",
        min_revision: int = 0,
        on_stale: OnStale = "ask",
    ) -> Decision:
        """See :meth:`Validates.validate`."""
        ...
