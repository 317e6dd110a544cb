"""IssueCode: a wish becomes a code, which is told once and kept as a keyed hash."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from token_service.domain.clients.caller import Caller
from token_service.domain.codes.decision import Code, CodeWish, request_id_used
from token_service.domain.codes.text import MAX_TTL, canonical_code
from token_service.domain.errors import Reason, TokenServiceError, invalid_field
from token_service.domain.kinds import Permission
from token_service.domain.ports import (
    AttemptBucket,
    Attempts,
    Clock,
    CodeSecrets,
    CodeStore,
    Randomness,
    Secrets,
)
from token_service.usecases.shielding import Shield

_TRIES = 4


@dataclass(frozen=True, slots=True)
class IssueLimits:
    """Codes per `window`: for one recipient, by one client, and by the client in all."""

    recipient: int = 10
    caller: int = 30_000
    window: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """The code and its public name."""

    code_id: UUID
    text: str = field(repr=False)
    expires_at: datetime


class IssueCode:
    """Raises RATE_LIMITED, REQUEST_ID_USED, and FIELD_INVALID for a start too far ahead.

    A code is derived from its random id and a pepper. So a retry, known by its request id, gets
    the same one again although it is not stored, also after the pepper was rotated.
    """

    def __init__(
        self,
        *,
        store: CodeStore,
        codes: CodeSecrets,
        secrets: Secrets,
        attempts: Attempts,
        clock: Clock,
        random: Randomness,
        shield: Shield,
        limits: IssueLimits,
    ) -> None:
        self._store = store
        self._codes = codes
        self._secrets = secrets
        self._attempts = attempts
        self._clock = clock
        self._random = random
        self._shield = shield
        self._limits = limits

    async def __call__(self, caller: Caller, wish: CodeWish) -> IssuedCode:
        """Make the code, or tell the one that this very request made before."""
        caller.require(Permission.CODES)
        now = self._clock.now()
        if wish.not_before is not None and wish.not_before > now + MAX_TTL:
            raise invalid_field("not_before", f"must be at most {MAX_TTL.days} days ahead")
        issued = await self._issued_before(caller, wish)
        if issued is None:
            await self._require_room(caller, wish, now)
        for _ in range(_TRIES):
            if issued is not None:
                return issued
            code, text = self._draw(caller, wish, now)
            audit = caller.audit(
                now,
                "code.issue",
                target=str(code.code_id),
                subject=wish.subject,
                details=f"kind={wish.kind.name.lower()} purpose={wish.purpose}",
            )
            if await self._shield.run(self._store.insert(code, audit)):
                return IssuedCode(code.code_id, text, code.expires_at)
            issued = await self._issued_before(caller, wish)
        raise TokenServiceError(
            Reason.OVERLOADED,
            "codes for this recipient keep being replaced",
            retry_after=timedelta(seconds=1),
        )

    async def _issued_before(self, caller: Caller, wish: CodeWish) -> IssuedCode | None:
        if not wish.request_id:
            return None
        code = await self._store.by_request(caller.client_id, wish.request_id)
        if code is None:
            return None
        if code.request_hash != wish.fingerprint():
            raise request_id_used()
        text = self._text(code)
        if text is None:
            raise TokenServiceError(Reason.CODE_REVOKED, "the code's pepper is out of use")
        return IssuedCode(code.code_id, text, code.expires_at)

    async def _require_room(self, caller: Caller, wish: CodeWish, now: datetime) -> None:
        """Count the code. What is counted stays so, whatever becomes of the code."""
        limits, window = self._limits, self._limits.window
        own = self._secrets.bucket("code-issue", caller.client_id)
        buckets = [AttemptBucket(key=own, limit=limits.caller, window=window, lock=window)]
        if wish.recipient:
            theirs = self._secrets.bucket("code-issue-to", caller.client_id, wish.recipient)
            buckets.append(
                AttemptBucket(key=theirs, limit=limits.recipient, window=window, lock=window)
            )
        wait = await self._attempts.reserve(buckets, now)
        if wait is not None:
            raise TokenServiceError(Reason.RATE_LIMITED, "too many codes", retry_after=wait)

    def _draw(self, caller: Caller, wish: CodeWish, now: datetime) -> tuple[Code, str]:
        start = max(now, wish.not_before or now)
        code = Code(
            code_id=self._random.uuid(),
            client_id=caller.client_id,
            kind=wish.kind,
            purpose=wish.purpose,
            recipient=wish.recipient,
            subject=wish.subject,
            max_uses=wish.max_uses,
            length=wish.length,
            alphabet=wish.alphabet,
            payload=wish.payload,
            created_at=now,
            not_before=start,
            expires_at=start + wish.ttl,
            code_hash=None,
            pepper_id=self._codes.active_pepper(),
            request_id=wish.request_id,
            request_hash=wish.fingerprint(),
        )
        text = self._text(code)
        if text is None:
            raise TokenServiceError(Reason.KEY_STATE, "the active pepper has just been replaced")
        return replace(code, code_hash=self._hash(code, text)), text

    def _text(self, code: Code) -> str | None:
        return self._codes.draw(
            code.client_id, code.code_id, code.length, code.alphabet, code.pepper_id
        )

    def _hash(self, code: Code, text: str) -> bytes:
        return self._codes.hash(
            code.kind,
            code.client_id,
            purpose=code.purpose,
            recipient=code.recipient,
            text=canonical_code(text),
            pepper_id=code.pepper_id,
        )
