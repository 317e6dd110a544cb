from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.unit.crypto.builders import NOW
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.keys.key import Key
from token_service.domain.keys.schedule import (
    KeyPlan,
    KeyScheduleSettings,
    NewKey,
    Slot,
    decide_key_changes,
    decide_rotation,
)
from token_service.domain.kinds import KeyPurpose, KeyState
from token_service.domain.ports import KeyChange

SIGNING, MINT = KeyPurpose.SIGNING, KeyPurpose.MINT
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
EDDSA: Slot = (SIGNING, "EdDSA")
SETTINGS = KeyScheduleSettings()
LEAD = SETTINGS.publish_lead


def key(
    kid: str,
    state: KeyState,
    activates_at: datetime = NOW,
    slot: Slot = EDDSA,
    retires_at: datetime | None = None,
) -> Key:
    purpose, algorithm = slot
    return Key(
        kid=kid,
        purpose=purpose,
        algorithm=algorithm,
        state=state,
        secret_key_id="one",
        public_key=b"",
        sealed_private=b"",
        created_at=NOW,
        activates_at=activates_at,
        retires_at=retires_at,
    )


def plan(*keys: Key, now: datetime = NOW, slot: Slot = EDDSA) -> KeyPlan:
    """What is decided for one slot."""
    everything = decide_key_changes(keys, now, SETTINGS)
    kids = {key.kid for key in keys}
    return KeyPlan(
        tuple(change for change in everything.changes if change.kid in kids),
        tuple(new for new in everything.generate if (new.purpose, new.algorithm) == slot),
    )


def test_a_first_start_makes_one_active_key_for_each_slot() -> None:
    settings = KeyScheduleSettings(algorithms=("EdDSA", "RS256", "EdDSA"))
    decided = decide_key_changes([], NOW, settings)
    assert decided.changes == ()
    assert [(new.purpose, new.algorithm) for new in decided.generate] == [
        EDDSA,
        (SIGNING, "RS256"),
        (MINT, "HS256"),
        (KeyPurpose.PEPPER, "HS256"),
        (KeyPurpose.OPAQUE, "HS256"),
    ]
    assert {(new.state, new.activates_at) for new in decided.generate} == {(KeyState.ACTIVE, NOW)}


def test_the_successor_is_published_its_lead_ahead() -> None:
    active = key("a", KeyState.ACTIVE)
    due = NOW + 30 * DAY - LEAD
    assert not plan(active, now=due - timedelta(seconds=1))
    [new] = plan(active, now=due).generate
    assert new == NewKey(SIGNING, "EdDSA", KeyState.PENDING, due + LEAD)
    # Late, the lead is kept all the same.
    [late] = plan(active, now=due + DAY).generate
    assert late.activates_at == due + DAY + LEAD
    # And while one is pending there is no other.
    assert not plan(active, key("b", KeyState.PENDING, due + LEAD), now=due)


def test_the_successor_signs_first_and_then_the_former_retires() -> None:
    former, successor = key("a", KeyState.ACTIVE), key("b", KeyState.PENDING, NOW + DAY)
    assert not plan(former, successor, now=NOW + DAY - timedelta(seconds=1))
    now = NOW + DAY
    assert plan(former, successor, now=now) == KeyPlan(
        (KeyChange("b", KeyState.PENDING, KeyState.ACTIVE),)
    )
    active = replace(successor, state=KeyState.ACTIVE)
    assert plan(former, active, now=now) == KeyPlan(
        (KeyChange("a", KeyState.ACTIVE, KeyState.RETIRING, now + LEAD + 24 * HOUR),)
    )


@pytest.mark.parametrize(
    ("purpose", "life"),
    [
        (MINT, timedelta(days=180)),
        (KeyPurpose.OPAQUE, timedelta(hours=24)),
        (KeyPurpose.PEPPER, None),
    ],
)
def test_a_retiring_key_verifies_until_its_last_token_is_dead(
    purpose: KeyPurpose, life: timedelta | None
) -> None:
    slot = (purpose, "HS256")
    keys = [key("a", KeyState.ACTIVE, NOW, slot), key("b", KeyState.ACTIVE, NOW + DAY, slot)]
    [change] = plan(*keys, now=NOW + DAY, slot=slot).changes
    assert change.kid == "a"
    assert change.retires_at == (None if life is None else NOW + DAY + LEAD + life)


def test_a_retiring_key_is_retired_when_its_time_has_come() -> None:
    active, former = key("b", KeyState.ACTIVE), key("a", KeyState.RETIRING, retires_at=NOW + HOUR)
    assert not plan(active, former, now=NOW + HOUR - timedelta(seconds=1))
    assert plan(active, former, now=NOW + HOUR).changes == (
        KeyChange("a", KeyState.RETIRING, KeyState.RETIRED, NOW + HOUR),
    )
    endless = replace(former, retires_at=None)
    assert not plan(active, endless, now=NOW + 20 * DAY)


def test_of_two_that_nodes_published_at_once_one_is_used() -> None:
    active = key("a", KeyState.ACTIVE)
    one, two = key("b", KeyState.PENDING, NOW + DAY), key("c", KeyState.PENDING, NOW + 2 * DAY)
    assert plan(active, one, two).changes == (KeyChange("c", KeyState.PENDING, KeyState.RETIRED),)
    assert plan(active, one, two, now=NOW + 3 * DAY).changes == (
        KeyChange("c", KeyState.PENDING, KeyState.ACTIVE),
        KeyChange("b", KeyState.PENDING, KeyState.RETIRED),
    )


def test_a_compromised_key_has_its_successor_at_once() -> None:
    lost = key("a", KeyState.COMPROMISED)
    assert plan(lost).generate == (NewKey(SIGNING, "EdDSA", KeyState.ACTIVE, NOW),)
    pending = key("b", KeyState.PENDING, NOW + DAY)
    assert plan(lost, pending) == KeyPlan((KeyChange("b", KeyState.PENDING, KeyState.ACTIVE),))


def test_an_algorithm_made_on_command_lives_on() -> None:
    slot = (SIGNING, "ES256")
    pending = key("a", KeyState.PENDING, NOW + LEAD, slot)
    assert not plan(pending, slot=slot)
    assert plan(pending, now=NOW + LEAD, slot=slot).changes == (
        KeyChange("a", KeyState.PENDING, KeyState.ACTIVE),
    )
    active = replace(pending, state=KeyState.ACTIVE)
    [new] = plan(active, now=NOW + 40 * DAY, slot=slot).generate
    assert (new.state, new.algorithm) == (KeyState.PENDING, "ES256")
    lost = replace(pending, state=KeyState.COMPROMISED)
    [new] = plan(lost, slot=slot).generate
    assert (new.state, new.algorithm) == (KeyState.ACTIVE, "ES256")
    assert not plan(replace(pending, state=KeyState.RETIRED), slot=slot)


def test_rotation_on_command() -> None:
    active = key("a", KeyState.ACTIVE)
    new = decide_rotation([active], SIGNING, "EdDSA", NOW, SETTINGS)
    assert new == NewKey(SIGNING, "EdDSA", KeyState.PENDING, NOW + LEAD)
    other = key("b", KeyState.PENDING, slot=(SIGNING, "ES256"))
    assert decide_rotation([active, other], SIGNING, "EdDSA", NOW, SETTINGS) == new
    pending = key("b", KeyState.PENDING, NOW + LEAD)
    with pytest.raises(TokenServiceError) as caught:
        decide_rotation([active, pending], SIGNING, "EdDSA", NOW, SETTINGS)
    assert caught.value.reason is Reason.KEY_STATE


@pytest.mark.parametrize(
    "settings",
    [
        {"staleness_limit": timedelta(0)},
        {"staleness_limit": MINUTE},
        {"publish_lead": timedelta(seconds=9)},
        {"rotation": {**SETTINGS.rotation, MINT: MINUTE}},
        {"life": {**SETTINGS.life, MINT: timedelta(0)}},
    ],
)
def test_times_that_cannot_keep_the_promises_are_refused(settings: dict[str, object]) -> None:
    make: object = KeyScheduleSettings
    assert callable(make)
    with pytest.raises(ValueError, match=r"staleness|MINT"):
        make(**settings)
