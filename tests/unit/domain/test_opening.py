"""`open_session`: which session a proven credential opens."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.unit.domain.builders import NOW
from token_service.domain.clients.client import Client
from token_service.domain.clients.policy import DEFAULT_LIFETIMES, ClientPolicy, Lifetimes
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import (
    SERVICE_AUDIENCE,
    Amr,
    ClientState,
    Platform,
    TokenKind,
    TokenScheme,
)
from token_service.domain.login.authenticated import Authenticated
from token_service.domain.sessions.grants import Grant
from token_service.domain.sessions.opening import NewIds, Wanted, open_session
from token_service.domain.sessions.session import Device, Session
from tokenservice.core.limits import MAX_AUDIENCES, MAX_SCOPES

POLICY = ClientPolicy(
    platforms=frozenset({Platform.WEB, Platform.MOBILE, Platform.API}),
    audiences=("orders", "billing"),
    scopes=frozenset({"orders.read", "orders.write", "billing.read"}),
)
ROLLING = replace(POLICY, scheme=TokenScheme.ROLLING)
CLIENT = Client(
    client_id="shop-web",
    name="Shop",
    contact="",
    state=ClientState.ACTIVE,
    policy=POLICY,
    valid_rev=0,
    registered_by="",
    reviewed_by="",
    review_note="",
    created_at=NOW,
    updated_at=NOW,
)
IDS = NewIds(UUID(int=1), UUID(int=2), "0000000a")
USER = Authenticated(
    acr=2,
    amr=Amr.PWD | Amr.XDEV,
    auth_time=NOW - timedelta(minutes=3),
    user_id=UUID(int=9),
    roles=("buyer",),
    scopes=frozenset({"orders.read", "billing.read"}),
)
ITSELF = Authenticated(acr=1, amr=Amr.APP, auth_time=NOW)


def opened(
    policy: ClientPolicy = POLICY,
    who: Authenticated = USER,
    platform: Platform = Platform.WEB,
    **wanted: Any,
) -> Session:
    client = replace(CLIENT, policy=policy)
    return open_session(client, Wanted(platform, **wanted), who, IDS, NOW)


def refusal(*args: Any, **wanted: Any) -> tuple[Reason, str]:
    with pytest.raises(TokenServiceError) as caught:
        opened(*args, **wanted)
    return caught.value.reason, caught.value.field


def test_a_session_says_who_it_is_for_and_how_that_was_proven() -> None:
    device = Device("phone-1", "Phone")
    made = opened(device=device, confirmation=bytes(32))
    assert (made.user_id, made.roles) == (USER.user_id, ("buyer",))
    assert (made.acr, made.amr, made.auth_time) == (USER.acr, USER.amr, USER.auth_time)
    assert (made.client_id, made.device, made.confirmation) == ("shop-web", device, bytes(32))
    assert (made.session_id, made.lookup_id, made.mint_kid) == (
        UUID(int=1),
        UUID(int=2),
        IDS.mint_kid,
    )
    assert (made.generation, made.rev, made.exchange_hash) == (1, 0, None)
    assert {made.created_at, made.rotated_at, made.last_active_at} == {NOW}


@pytest.mark.parametrize(
    ("platform", "kind"),
    [
        (Platform.WEB, TokenKind.WEB_SESSION),
        (Platform.MOBILE, TokenKind.MOBILE_SESSION),
        (Platform.API, TokenKind.API_SESSION),
    ],
)
def test_the_platform_gives_kind_and_lifetimes(platform: Platform, kind: TokenKind) -> None:
    made = opened(platform=platform)
    lifetimes = DEFAULT_LIFETIMES[platform]
    assert (made.kind, made.platform) == (kind, platform)
    assert made.idle_seconds == lifetimes.idle.total_seconds()
    assert made.idle_expires_at == NOW + lifetimes.idle
    assert made.absolute_expires_at == NOW + lifetimes.absolute
    assert opened(ROLLING, platform=platform).kind is TokenKind.ROLLING


def test_a_session_is_never_idle_for_longer_than_it_lives() -> None:
    hour = timedelta(hours=1)
    policy = replace(POLICY, lifetimes={Platform.WEB: Lifetimes(2 * hour, hour, hour)})
    made = opened(policy)
    assert made.idle_expires_at == made.absolute_expires_at == NOW + hour
    assert made.idle_seconds == 7200


def test_scopes_are_cut_to_what_client_and_user_may_have() -> None:
    assert opened().grant == Grant(("orders", "billing"), ("billing.read", "orders.read"))
    some = opened(audiences=("billing",), scopes=("orders.write", "billing.read"))
    assert some.grant == Grant(("billing",), ("billing.read",))
    assert refusal(scopes=("orders.write",))[0] is Reason.SCOPE_NOT_ALLOWED
    assert refusal(audiences=("payroll",))[0] is Reason.AUDIENCE_NOT_ALLOWED
    assert opened(who=ITSELF).scopes == ("billing.read", "orders.read", "orders.write")


def test_this_service_is_an_audience_for_a_client_itself_that_asks_for_it() -> None:
    both = ("orders", SERVICE_AUDIENCE)
    assert opened(who=ITSELF, audiences=both).audiences == both
    assert opened(who=ITSELF).audiences == POLICY.audiences
    assert refusal(audiences=both)[0] is Reason.AUDIENCE_NOT_ALLOWED
    assert opened(replace(POLICY, audiences=both)).audiences == ("orders",)


def test_a_rolling_session_has_one_audience() -> None:
    assert opened(ROLLING).audiences == ("orders",)
    assert opened(ROLLING, audiences=("billing",)).audiences == ("billing",)
    asked = {"audiences": ("billing", "orders")}
    assert refusal(ROLLING, **asked) == (Reason.FIELD_INVALID, "audiences")


def test_what_does_not_fit_into_one_session_is_refused() -> None:
    scopes = frozenset(f"s{number}" for number in range(MAX_SCOPES + 1))
    audiences = tuple(f"a{number}" for number in range(MAX_AUDIENCES + 1))
    too_many = (Reason.FIELD_INVALID, "scopes")
    assert refusal(replace(POLICY, scopes=scopes), ITSELF) == too_many
    assert refusal(replace(POLICY, audiences=audiences)) == too_many
    cut = replace(USER, scopes=frozenset({"s1"}))
    assert opened(replace(POLICY, scopes=scopes), cut).scopes == ("s1",)


@pytest.mark.parametrize(
    ("state", "platform", "reason"),
    [
        (ClientState.DISABLED, Platform.WEB, Reason.CLIENT_DISABLED),
        (ClientState.PENDING, Platform.WEB, Reason.CLIENT_NOT_APPROVED),
        (ClientState.REJECTED, Platform.WEB, Reason.CLIENT_NOT_APPROVED),
        (ClientState.ACTIVE, Platform.API, Reason.PLATFORM_NOT_ALLOWED),
    ],
)
def test_every_way_in_needs_an_active_client_and_its_platform(
    state: ClientState, platform: Platform, reason: Reason
) -> None:
    policy = replace(POLICY, platforms=frozenset({Platform.WEB}))
    client = replace(CLIENT, state=state, policy=policy)
    with pytest.raises(TokenServiceError) as caught:
        open_session(client, Wanted(platform), USER, IDS, NOW)
    assert caught.value.reason is reason
