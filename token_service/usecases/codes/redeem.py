"""RedeemCode: a presented code is used once, replayed, or refused and counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from token_service.domain.audit import UNKNOWN
from token_service.domain.clients.caller import Caller
from token_service.domain.codes.decision import (
    ATTEMPT_WINDOW,
    MAX_ATTEMPTS,
    Presented,
    Redeem,
    Redemption,
    Replay,
    Wrong,
    decide_redeem,
    locked,
    request_id_used,
    unknown,
)
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission
from token_service.domain.ports import (
    AttemptBucket,
    Attempts,
    Clock,
    CodeSecrets,
    CodeStore,
    Durability,
    Secrets,
)

_TRIES = 8


@dataclass(frozen=True, slots=True)
class RedeemRequest:
    """`code` and `recipient` are in their canonical forms."""

    purpose: str
    code: str = field(repr=False)
    recipient: str = ""
    redeemer: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class WrongCodeLimits:
    """Wrong codes before a lock, besides the few for a purpose and recipient: by one redeemer,
    and by the calling client in all. The client's lock is short: it also stops the honest."""

    redeemer: int = 20
    caller: int = 3_000
    window: timedelta = timedelta(minutes=15)
    lock: timedelta = timedelta(minutes=15)
    caller_lock: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What the code brought; `replayed` when this request redeemed it earlier."""

    redemption: Redemption
    replayed: bool


_OF_CALLER, _OF_NOBODY = "of_caller", "of_nobody"
_OF_REDEEMER, _OF_RECIPIENT = "of_redeemer", "of_recipient"


class RedeemCode:
    """Raises CODE_UNKNOWN, ACCOUNT_LOCKED and the reasons of `decide_redeem`.

    One statement does it when all is well, and counts a wrong guess at a verification code. It is
    committed when it answers; only then is the error raised.
    """

    def __init__(
        self,
        *,
        store: CodeStore,
        codes: CodeSecrets,
        secrets: Secrets,
        attempts: Attempts,
        durability: Durability,
        clock: Clock,
        limits: WrongCodeLimits,
    ) -> None:
        self._store = store
        self._codes = codes
        self._secrets = secrets
        self._attempts = attempts
        self._durability = durability
        self._clock = clock
        many = limits.caller, limits.window, limits.caller_lock
        self._limits = {
            _OF_CALLER: many,
            _OF_NOBODY: many,
            _OF_REDEEMER: (limits.redeemer, limits.window, limits.lock),
            _OF_RECIPIENT: (MAX_ATTEMPTS, ATTEMPT_WINDOW, ATTEMPT_WINDOW),
        }

    async def __call__(self, caller: Caller, request: RedeemRequest) -> Redeemed:
        """Use the code once; the same request again gets the same answer."""
        caller.require(Permission.CODES)
        presented = self._presented(caller, request)
        counters = self._counters(caller, request)
        keys = list(counters.values())
        for _ in range(_TRIES):
            now = self._clock.now()
            audit = caller.audit(now, "code.redeem")
            answer = await self._store.redeem(presented, keys, now, audit)
            if answer.redeemed is not None:
                return Redeemed(answer.redeemed, replayed=False)
            if answer.counted:
                raise await self._wrong(caller, request, counters, now)
            match decide_redeem(answer.view, presented, now):
                case Replay(redemption):
                    done = (redemption.code_id, caller.client_id, request.request_id)
                    await self._durability.confirm(done)
                    return Redeemed(redemption, replayed=True)
                case Wrong(counted=False, id_used=id_used):
                    raise await self._wrong(caller, request, counters, now, id_used=id_used)
                case Redeem() | Wrong():
                    continue  # it would have been written: what was read has changed since
        raise TokenServiceError(
            Reason.OVERLOADED, "the code keeps changing", retry_after=timedelta(seconds=1)
        )

    def _presented(self, caller: Caller, request: RedeemRequest) -> Presented:
        client_id = caller.client_id
        return Presented(
            client_id=client_id,
            purpose=request.purpose,
            recipient=request.recipient,
            redeemer=request.redeemer,
            request_id=request.request_id,
            hashes=self._codes.hashes(client_id, request.purpose, request.recipient, request.code),
        )

    def _counters(self, caller: Caller, request: RedeemRequest) -> dict[str, bytes]:
        """What a wrong code counts against: the keys by their names.

        Guesses at a verification code are counted on the code. Here they are counted as well, and
        so are those at a recipient who has none: whoever guesses is locked out either way, and
        does not learn whether one was sent. Where nobody is named, what is noted is counted apart:
        the mistakes of those who are named are many on a busy day, and hide no attack.
        """
        bucket, client_id = self._secrets.bucket, caller.client_id
        counters = {_OF_CALLER: bucket("code-redeem", client_id)}
        if not request.redeemer and not request.recipient:
            counters[_OF_NOBODY] = bucket("code-redeem-by", client_id, "")
        if request.redeemer:
            counters[_OF_REDEEMER] = bucket("code-redeem-by", client_id, request.redeemer)
        if request.recipient:
            counters[_OF_RECIPIENT] = bucket(
                "code-redeem-for", client_id, request.purpose, request.recipient
            )
        return counters

    async def _wrong(
        self,
        caller: Caller,
        request: RedeemRequest,
        counters: Mapping[str, bytes],
        now: datetime,
        *,
        id_used: bool = False,
    ) -> TokenServiceError:
        """Count a wrong code against `counters`; what to raise."""
        error = request_id_used() if id_used else unknown()
        audit = caller.audit(
            now,
            "code.redeem",
            error.reason.value.lower(),
            target=UNKNOWN,
            subject=request.redeemer,
            details=f"purpose={request.purpose}",
        )
        buckets = [
            AttemptBucket(
                key=key, limit=limit, window=window, lock=lock, name=name, noted=name != _OF_CALLER
            )
            for name, key in counters.items()
            for limit, window, lock in [self._limits[name]]
        ]
        wait = await self._attempts.reserve(buckets, now, audit)
        error = error if wait is None else locked(wait)
        error.about["subject"] = request.redeemer
        return error
