"""A client's policy: which tokens it may have, for how long, and what it may do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from token_service.domain.kinds import (
    AccessFormat,
    CredentialKind,
    PairingNetworkRule,
    Permission,
    Platform,
    TokenScheme,
)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Lifetimes of a platform's sessions; `replay_window` is how long a lost reply can be asked
    for again with the same exchange_id."""

    idle: timedelta
    absolute: timedelta
    replay_window: timedelta


DEFAULT_LIFETIMES: Mapping[Platform, Lifetimes] = {
    Platform.WEB: Lifetimes(timedelta(minutes=30), timedelta(hours=12), timedelta(minutes=10)),
    Platform.MOBILE: Lifetimes(timedelta(days=30), timedelta(days=180), timedelta(hours=24)),
    Platform.API: Lifetimes(timedelta(hours=24), timedelta(days=30), timedelta(hours=24)),
}
ROLLING_IDLE = timedelta(days=30)
ROLLING_ABSOLUTE = timedelta(days=180)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPolicy:
    """Everything that differs between clients. Immutable; a change makes a new one."""

    scheme: TokenScheme = TokenScheme.SESSION_ACCESS
    platforms: frozenset[Platform] = frozenset()
    audiences: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    protects_audiences: frozenset[str] = frozenset()
    permissions: frozenset[Permission] = frozenset()
    access_format: AccessFormat = AccessFormat.JWT
    access_lifetime: timedelta = timedelta(minutes=5)
    rolling_lifetime: timedelta = timedelta(minutes=15)
    lifetimes: Mapping[Platform, Lifetimes] = field(default_factory=dict)
    credentials: frozenset[CredentialKind] = frozenset()
    """First-party only: the kinds of users' credentials that may pass through this client."""
    may_issue_for: frozenset[str] = frozenset()
    may_pair_for: frozenset[str] = frozenset()
    signing_algorithm: str = ""
    certificate_thumbprints: frozenset[str] = frozenset()
    pam_direct: bool = False
    """A phone gets a session of this client by the scan alone."""
    pairing_max_auth_age: timedelta = timedelta(minutes=10)
    pairing_network: PairingNetworkRule = PairingNetworkRule.WARN

    def lifetimes_for(self, platform: Platform) -> Lifetimes:
        """This policy's lifetimes for `platform`, else the defaults of the scheme."""
        own = self.lifetimes.get(platform)
        if own is not None:
            return own
        default = DEFAULT_LIFETIMES[platform]
        if self.scheme is TokenScheme.ROLLING:
            return Lifetimes(ROLLING_IDLE, ROLLING_ABSOLUTE, default.replay_window)
        return default

    @property
    def idle_seconds(self) -> tuple[int, ...]:
        """The idle lifetime on each platform, by the platform's number from 1."""
        platforms = (platform for platform in Platform if platform)
        return tuple(int(self.lifetimes_for(one).idle.total_seconds()) for one in platforms)

    @property
    def call_lifetime(self) -> timedelta:
        """How long what this client presents on calls lives."""
        rolling = self.scheme is TokenScheme.ROLLING
        return self.rolling_lifetime if rolling else self.access_lifetime

    def narrows(self, other: "ClientPolicy") -> bool:
        """True when tokens issued under `other` could do more than this policy allows."""
        return (
            not self.scopes >= other.scopes
            or not set(self.audiences) >= set(other.audiences)
            or not self.platforms >= other.platforms
        )
