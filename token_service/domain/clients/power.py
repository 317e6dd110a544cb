"""Which power a client has, and who may change it.

Power over the service itself is held as administrative permissions (`ADMINISTRATIVE`). Two rules
keep it where it was given:

1. Whoever changes what authenticates or empowers a client holds every administrative permission
   that the client holds before the change and after it. Otherwise it could act through that
   client, or disarm who watches it.
2. Nobody adds power of any kind to its own policy, to that of a client that it registered, or to
   that of a client whose sessions it opens (`may_issue_for`, `may_pair_for`).
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta
from types import MappingProxyType

from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Platform

Adds = Callable[[ClientPolicy, ClientPolicy], bool]
"""Whether the first policy gives more than the second in one respect."""


def _members(name: str) -> Adds:
    """Each member that the former one lacks is power."""

    def adds(policy: ClientPolicy, former: ClientPolicy) -> bool:
        return not frozenset(getattr(policy, name)) <= frozenset(getattr(former, name))

    return adds


def _at_most(name: str) -> Adds:
    """A greater value is power."""

    def adds(policy: ClientPolicy, former: ClientPolicy) -> bool:
        return bool(getattr(policy, name) > getattr(former, name))

    return adds


def _at_least(name: str) -> Adds:
    """A smaller value is power: the greatest is the strictest."""

    def adds(policy: ClientPolicy, former: ClientPolicy) -> bool:
        return bool(getattr(policy, name) < getattr(former, name))

    return adds


def _unchanged(name: str) -> Adds:
    """Any other value is power: the values cannot be put in an order of strength."""

    def adds(policy: ClientPolicy, former: ClientPolicy) -> bool:
        return bool(getattr(policy, name) != getattr(former, name))

    return adds


def _longer_sessions(policy: ClientPolicy, former: ClientPolicy) -> bool:
    """Compared as they work: a platform left out has its defaults. Platforms that the policy does
    not allow count too, since another change may allow them."""
    return any(
        longer > bound
        for platform in Platform
        if platform
        for longer, bound in zip(_times(policy, platform), _times(former, platform), strict=True)
    )


def _times(policy: ClientPolicy, platform: Platform) -> tuple[timedelta, ...]:
    own = policy.lifetimes_for(platform)
    return own.idle, own.absolute, own.replay_window


POWER: Mapping[str, Adds] = MappingProxyType(
    {
        # A rolling token is presented on calls and exchanged, also when it has expired; in the
        # other scheme a session has many audiences at once. Neither is the weaker one.
        "scheme": _unchanged("scheme"),
        "platforms": _members("platforms"),
        "audiences": _members("audiences"),
        "scopes": _members("scopes"),
        "protects_audiences": _members("protects_audiences"),
        "permissions": _members("permissions"),
        # A JWT shows its claims and is checked without the server, an opaque token neither.
        "access_format": _unchanged("access_format"),
        "access_lifetime": _at_most("access_lifetime"),
        "rolling_lifetime": _at_most("rolling_lifetime"),
        "lifetimes": _longer_sessions,
        "credentials": _members("credentials"),
        "may_issue_for": _members("may_issue_for"),
        "may_pair_for": _members("may_pair_for"),
        # What gateways accept, and whether they can check it themselves, depends on it.
        "signing_algorithm": _unchanged("signing_algorithm"),
        "certificate_thumbprints": _members("certificate_thumbprints"),
        "pam_direct": _at_most("pam_direct"),
        "pairing_max_auth_age": _at_most("pairing_max_auth_age"),
        "pairing_network": _at_least("pairing_network"),
    }
)
"""Every field of a policy with the comparison that decides whether a change of it adds power. A
field that is missing here fails the tests, and cannot be compared at all."""


def adds_power(policy: ClientPolicy, former: ClientPolicy) -> bool:
    """Whether `policy` lets its client do, or be told, anything that `former` did not."""
    return any(POWER[field.name](policy, former) for field in fields(ClientPolicy))


def require_may_change(caller: Caller, client: Client, policy: ClientPolicy | None = None) -> None:
    """Raise unless the caller may give the client `policy` in place of the one it has, or (None)
    change how or whether it authenticates.

    Raises SELF_REVIEW for power that the caller would add for itself, CREDENTIAL_NOT_ALLOWED for
    a certificate that a caller with an access token would add, and PERMISSION_MISSING for a
    client that has, or would have, administrative permissions that the caller lacks.
    """
    if policy is not None:
        if adds_power(policy, client.policy):
            _refuse_gain(caller, client)
        _refuse_certificate(caller, client, policy)
    caller.require_as_powerful(client.policy, policy or client.policy)


def require_may_review(caller: Caller, client: Client, policy: ClientPolicy | None) -> None:
    """Raise unless the caller may decide on the registration: reject it (None), or approve it
    with `policy`. Raises as require_may_change does, for certificates that were not asked
    for, and SELF_REVIEW for what the caller registered, whatever the decision."""
    _refuse_registrant(caller, client)
    if policy is not None:
        _refuse_gain(caller, client)
        _refuse_certificate(caller, client, policy)
        caller.require_as_powerful(policy)


def _refuse_certificate(caller: Caller, client: Client, policy: ClientPolicy) -> None:
    """A certificate is a credential: as a secret, it would outlive the access token."""
    if POWER["certificate_thumbprints"](policy, client.policy):
        caller.require_own_credential()


def _refuse_gain(caller: Caller, client: Client) -> None:
    if caller.client_id == client.client_id:
        raise _self_review("a client may not add to its own policy")
    _refuse_registrant(caller, client)
    if client.client_id in caller.policy.may_issue_for | caller.policy.may_pair_for:
        raise _self_review("a client may not add to what it opens sessions for")


def _refuse_registrant(caller: Caller, client: Client) -> None:
    if caller.client_id == client.registered_by:
        raise _self_review("who registered a client may not review it")


def _self_review(message: str) -> TokenServiceError:
    return TokenServiceError(Reason.SELF_REVIEW, message)
