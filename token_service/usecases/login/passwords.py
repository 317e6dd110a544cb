"""Checks a username and password against our own store, under limits that survive a restart."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NoReturn
from uuid import UUID

from token_service.domain.addresses import counted_network
from token_service.domain.audit import UNKNOWN
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Amr, CredentialKind
from token_service.domain.login.authenticated import Authenticated, Versions
from token_service.domain.login.passwords import canonical_password, canonical_username
from token_service.domain.ports import (
    AttemptBucket,
    Attempts,
    Clock,
    CoarseLimiter,
    PasswordHasher,
    Secrets,
    UserStore,
)
from token_service.domain.users.user import User
from token_service.usecases.login.verifiers import LoginAttempt

_PREFIX_BYTES = 16
_NEVER_FULL = 2**31 - 1
_SHOWN_BYTES = 8
"""Of the keyed hash of a name, enough to tell that two lines are about the same one."""


@dataclass(frozen=True, slots=True)
class PasswordCredential:
    """A first-party login. No account has a second factor yet, so a non-empty `otp_code` is wrong
    as a wrong password is."""

    username: str
    password: str = field(repr=False)
    otp_code: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordLimits:
    """Failures before a lock: for one account from one address, for the account from anywhere,
    and for one address over all accounts."""

    pair: int = 10
    account: int = 100
    address: int = 300
    window: timedelta = timedelta(minutes=15)
    lock: timedelta = timedelta(minutes=5)
    coarse_per_minute: int = 120


class VerifyPassword:
    """Raises CREDENTIALS_INVALID (unknown user, wrong password and disabled user alike, after
    the same work), ACCOUNT_LOCKED or RATE_LIMITED with the time to wait."""

    kind = CredentialKind.PASSWORD

    def __init__(
        self,
        *,
        users: UserStore,
        hasher: PasswordHasher,
        attempts: Attempts,
        coarse: CoarseLimiter,
        secrets: Secrets,
        clock: Clock,
        limits: PasswordLimits,
    ) -> None:
        self._users = users
        self._hasher = hasher
        self._attempts = attempts
        self._coarse = coarse
        self._secrets = secrets
        self._clock = clock
        self._limits = limits

    async def __call__(
        self, credential: PasswordCredential, attempt: LoginAttempt
    ) -> Authenticated:
        """The user behind `credential`; without a reported address the attempt is counted as one
        from the peer's."""
        caller, reported_address = attempt.caller, attempt.address
        username = canonical_username(credential.username)
        password = canonical_password(credential.password)
        buckets = self._buckets(username, reported_address, caller.address)
        # Who types the password into the field for the name gives it away to no log.
        about = {"reported": reported_address, "account": buckets[0].key[:_SHOWN_BYTES].hex()}
        try:
            await self._admit(buckets)
            found = await self._users.by_username(username)
            user = found[0] if found else None
            about["subject"] = str(user.user_id) if user else UNKNOWN
            right = await self._hasher.verify(password, user.password_hash if user else None)
            cause = _cause(user, right=right, otp_code=credential.otp_code, due=attempt.due)
            if found is None or user is None or cause:
                await self._refuse(buckets, caller, {**about, "cause": cause})
            await self._require_open(buckets, clear=True)
        except TokenServiceError as error:
            error.about.update(about)
            raise
        await self._rehash(user, password)
        return Authenticated(
            acr=1,
            amr=Amr.PWD,
            auth_time=self._clock.now(),
            user_id=user.user_id,
            roles=user.roles,
            scopes=user.scopes,
            versions=Versions(found[1], user.version, user.credential_version, buckets[0].key),
        )

    async def _refuse(
        self, buckets: tuple[AttemptBucket, ...], caller: Caller, about: dict[str, str]
    ) -> NoReturn:
        """Count the failure, with its audit row, and raise."""
        now, subject = self._clock.now(), about["subject"]
        audit = caller.audit(
            now,
            "user.authenticate",
            Reason.CREDENTIALS_INVALID.value.lower(),
            target=subject,
            subject="" if subject == UNKNOWN else subject,
            details=" ".join(
                f"{name}={about[name]}" for name in ("reported", "account", "cause") if about[name]
            ),
        )
        # A lock that others brought about meanwhile is told as to the right password: of
        # guesses in flight together, the answer must not give away the right one.
        counted = self._counted(buckets, caller, known=subject != UNKNOWN)
        _refuse_locked(await self._attempts.reserve(counted, now, audit))
        raise TokenServiceError(Reason.CREDENTIALS_INVALID, "wrong username or password")

    async def _admit(self, buckets: tuple[AttemptBucket, ...]) -> None:
        limits = self._limits
        per_minute = limits.coarse_per_minute
        wait = await self._coarse.allow(buckets[0].key, per_minute, per_minute)
        if wait is not None:
            raise TokenServiceError(Reason.RATE_LIMITED, "too many attempts", retry_after=wait)
        await self._require_open(buckets)

    async def _require_open(
        self, buckets: tuple[AttemptBucket, ...], *, clear: bool = False
    ) -> None:
        standing = await self._attempts.standing(buckets, self._clock.now())
        _refuse_locked(standing.wait)
        if clear and standing.failed_before:
            await self._attempts.clear(buckets[:1])

    def _buckets(self, username: str, reported: str, peer: str) -> tuple[AttemptBucket, ...]:
        """What a failure counts against. A whole address is limited only where it is the
        browser's own: behind a gateway that reports none, one guesser would lock out everybody.
        """
        limits, bucket = self._limits, self._secrets.bucket
        account = account_bucket(self._secrets, username)
        network = counted_network(reported or peer)
        pair = account + bucket("login", username, network)[:_PREFIX_BYTES]
        window, lock = limits.window, limits.lock
        buckets = (
            AttemptBucket(
                key=pair, limit=limits.pair, window=window, lock=lock, name="from_address"
            ),
            AttemptBucket(
                key=account,
                limit=limits.account,
                window=window,
                lock=lock,
                reset=False,
                name="of_account",
            ),
        )
        if not reported:
            return buckets
        address = bucket("login-address", network)
        whole = AttemptBucket(
            key=address,
            limit=limits.address,
            window=window,
            lock=lock,
            reset=False,
            name="of_address",
        )
        return (*buckets, whole)

    def _counted(
        self, buckets: tuple[AttemptBucket, ...], caller: Caller, *, known: bool
    ) -> tuple[AttemptBucket, ...]:
        """What a failure counts against, and what notes it: the account and address, or all that
        come through one gateway for names that nobody has, which are as many as attackers like.
        Users' own failures are counted apart: they are many on a busy day, and hide no attack."""
        pair, *others = buckets
        kind = "known" if known else UNKNOWN
        gateway = AttemptBucket(
            key=self._secrets.bucket("login-caller", caller.client_id, kind),
            limit=_NEVER_FULL,
            window=self._limits.window,
            lock=self._limits.lock,
            name="of_caller",
            noted=not known,
        )
        return (replace(pair, noted=known), *others, gateway)

    async def _rehash(self, user: User, password: str) -> None:
        if self._hasher.outdated(user.password_hash):
            new_hash = await self._hasher.hash(password)
            await self._users.rehash(user.user_id, user.password_hash, new_hash)


def account_bucket(secrets: Secrets, username: str) -> bytes:
    """The bucket of a (canonical) username's attempts from anywhere. It is the prefix of those
    from each address, so that an administrator can unlock them all."""
    return secrets.bucket("login-account", username)[:_PREFIX_BYTES]


def _cause(user: User | None, *, right: bool, otp_code: str, due: UUID | None) -> str:
    """Why the credential is refused, for the audit log alone; empty when it is not."""
    if user is None:
        return "unknown_user"
    if not right:
        return "wrong_password"
    if otp_code:
        return "unexpected_otp_code"
    if due is not None and user.user_id != due:
        return "another_user"
    return "disabled" if user.disabled_at is not None else ""


def _refuse_locked(wait: timedelta | None) -> None:
    if wait is not None:
        raise TokenServiceError(Reason.ACCOUNT_LOCKED, "too many failed attempts", retry_after=wait)


def fresh_at(auth_time: datetime, max_age: timedelta, now: datetime) -> bool:
    """Whether an authentication at `auth_time` is recent enough."""
    return now - auth_time <= max_age
