"""One-time codes of applications: what they are, and what a presented one may become."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import CodeKind

MAX_ATTEMPTS = 5
"""Wrong codes for one purpose and recipient within `ATTEMPT_WINDOW`, whatever was reissued."""
ATTEMPT_WINDOW = timedelta(minutes=15)
"""From the first wrong code on they are counted; the last that is allowed locks for as long."""
REMEMBERED = timedelta(days=1)
"""How long a code and its redemptions are kept beyond its expiry, so that retries are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeWish:
    """The code that was asked for, checked and complete but for the times.

    `request_id` is empty when a repeat is to be another request.
    """

    kind: CodeKind
    purpose: str
    recipient: str
    subject: str
    max_uses: int
    ttl: timedelta
    not_before: datetime | None
    length: int
    alphabet: str
    payload: bytes
    request_id: str

    def fingerprint(self) -> bytes:
        """By which the same request is known again."""
        start = "" if self.not_before is None else self.not_before.isoformat()
        parts = (
            str(self.kind.value),
            self.purpose,
            self.recipient,
            self.subject,
            str(self.max_uses),
            str(self.ttl),
            start,
            str(self.length),
            self.alphabet,
            sha256(self.payload).hexdigest(),
        )
        digest = sha256(b"tokenservice code v1\0")
        for part in (one.encode() for one in parts):
            digest.update(len(part).to_bytes(4, "big") + part)
        return digest.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A code as it is kept. `code_hash` is None once a newer one has taken its place.

    `failures` are wrong attempts at its purpose and recipient, counted until `failures_until`;
    a verification code takes them over from the one that it replaces.
    """

    code_id: UUID
    client_id: str
    kind: CodeKind
    purpose: str
    recipient: str
    subject: str
    max_uses: int
    length: int
    alphabet: str
    payload: bytes = field(repr=False)
    created_at: datetime
    not_before: datetime
    expires_at: datetime
    code_hash: bytes | None = field(repr=False)
    pepper_id: str
    request_id: str
    request_hash: bytes = field(repr=False)
    uses: int = 0
    failures: int = 0
    failures_until: datetime | None = None
    revoked_at: datetime | None = None
    last_redeemed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A code that somebody presents. `hashes` are those it may be kept under: of each kind, under
    each pepper. `request_id` is empty when nothing can be replayed."""

    client_id: str
    purpose: str
    recipient: str
    redeemer: str
    request_id: str
    hashes: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """What a request redeemed: enough to answer it again, and to know it from another."""

    code_id: UUID
    code_hash: bytes = field(repr=False)
    purpose: str
    recipient: str
    redeemer: str
    uses_left: int
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RedeemView:
    """All that decides over a presented code, in one reading: the code that it is, or else the
    verification code of its purpose and recipient; what its request redeemed before; until when
    the redeemer or the caller is locked out."""

    code: Code | None = None
    redemption: Redemption | None = None
    locked_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Redeem:
    """It is used once more."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The same request again after a lost reply: the same answer, and nothing is used."""

    redemption: Redemption


@dataclass(frozen=True, slots=True)
class Wrong:
    """Its presenter does not hold a code of this purpose and recipient. `counted` against them
    where there is one to be guessed. `id_used`: and the request's id belongs to another one."""

    counted: bool
    id_used: bool = False


RedeemDecision = Redeem | Replay | Wrong


def decide_redeem(view: RedeemView, presented: Presented, now: datetime) -> RedeemDecision:
    """What becomes of `presented`.

    Raises TokenServiceError for refusals that change nothing: REQUEST_ID_USED, ACCOUNT_LOCKED,
    and for coupons and invitations CODE_REVOKED, CODE_NOT_YET_VALID, CODE_EXPIRED and
    CODE_USED_UP. Who holds one of those may know what became of it; of a verification code, which
    can be guessed, a wrong one and one that is over are alike.
    """
    code, past = view.code, view.redemption
    guessable = code is None or code.kind is CodeKind.VERIFICATION
    if past is not None and not guessable and _same_request(past, presented):
        return Replay(past)  # a lock stops guesses, and nobody guesses one of these
    _refuse_locked(view, now)
    if past is not None:
        if past.code_hash not in presented.hashes:  # or its id would be a place to guess at
            return Wrong(counted=False, id_used=True)
        if not _same_request(past, presented):
            raise request_id_used()
        return Replay(past)
    if code is None:
        return Wrong(counted=False)
    if not _is_held(code, presented):
        return Wrong(counted=code.kind is CodeKind.VERIFICATION)
    refusal = _refusal(code, now)
    if refusal is None:
        return Redeem()
    if code.kind is CodeKind.VERIFICATION:
        return Wrong(counted=True)
    raise refusal


def _same_request(redemption: Redemption, presented: Presented) -> bool:
    return (
        redemption.code_hash in presented.hashes
        and redemption.purpose == presented.purpose
        and redemption.recipient == presented.recipient
        and redemption.redeemer == presented.redeemer
    )


def _refuse_locked(view: RedeemView, now: datetime) -> None:
    ends = [] if view.locked_until is None else [view.locked_until]
    code = view.code
    if code is not None and code.failures >= MAX_ATTEMPTS and code.failures_until is not None:
        ends.append(code.failures_until)
    wait = max(ends, default=now) - now
    if wait > timedelta(0):
        raise locked(wait)


def _is_held(code: Code, presented: Presented) -> bool:
    return code.code_hash in presented.hashes and code.recipient in ("", presented.recipient)


def _refusal(code: Code, now: datetime) -> TokenServiceError | None:
    if code.revoked_at is not None:
        return TokenServiceError(Reason.CODE_REVOKED, "the code was revoked")
    if now < code.not_before:
        return TokenServiceError(Reason.CODE_NOT_YET_VALID, "the code is not accepted yet")
    if now >= code.expires_at:
        return TokenServiceError(Reason.CODE_EXPIRED, "the code has expired")
    if code.uses >= code.max_uses:
        return TokenServiceError(Reason.CODE_USED_UP, "the code is used up")
    return None


def unknown() -> TokenServiceError:
    """There is no such code, as far as the caller is to know."""
    return TokenServiceError(Reason.CODE_UNKNOWN, "there is no such code")


def locked(wait: timedelta) -> TokenServiceError:
    """Too many wrong codes."""
    return TokenServiceError(Reason.ACCOUNT_LOCKED, "too many wrong codes", retry_after=wait)


def request_id_used() -> TokenServiceError:
    """The id belongs to another request."""
    return TokenServiceError(Reason.REQUEST_ID_USED, "the request_id was used for another request")
