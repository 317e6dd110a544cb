"""What may become of a pairing: every state, every step, either side, every moment."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest

from token_service.domain.errors import Reason
from token_service.domain.kinds import PairingDirection, PairingEndReason, PairingState
from token_service.domain.pairing.decision import (
    COLLECTION_TIME,
    DECISION_TIME,
    LIVE,
    Event,
    Move,
    Pairing,
    PairingDecision,
    Refuse,
    Side,
    Stay,
    Step,
    decide_pairing,
)
from token_service.domain.sessions.session import Device

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
STATES = (
    PairingState.PENDING,
    PairingState.SCANNED,
    PairingState.APPROVED,
    PairingState.COMPLETED,
    PairingState.DENIED,
    PairingState.EXPIRED,
    PairingState.CANCELLED,
)
BOTH = pytest.mark.parametrize("direct", [False, True])


def pairing(
    state: PairingState,
    direction: PairingDirection = PairingDirection.MAP,
    *,
    direct: bool = False,
    wrong_numbers: int = 0,
) -> Pairing:
    return Pairing(
        pairing_id=UUID(int=1),
        direction=direction,
        direct=direct,
        client_id="shop",
        starter_client="shop",
        pepper_id="00000000",
        watch_hash=b"w",
        audiences=(),
        scopes=(),
        starter=Device(),
        started_at=NOW - SECOND,
        state=state,
        ends_at=NOW + SECOND,
        wrong_numbers=wrong_numbers,
    )


def word(decision: PairingDecision) -> str:
    """A decision in a few letters: the new state, `stay`, `-` for a refusal; `!` when the call
    that made the move is refused, `*` when the session goes too."""
    match decision:
        case Move():
            marks = ("!" if decision.refusal else "") + ("*" if decision.revokes_child else "")
            return decision.state.name.lower() + marks
        case Stay():
            return "stay"
        case Refuse(Reason.PAIRING_STATE):
            return "-"
        case Refuse(Reason.CHECK_NUMBER_WRONG):
            return "wrong"
        case Refuse(reason):
            return reason.value


#                           pending   scanned    approved   completed   denied expired cancelled
PLAIN = {
    "first scan":          "scanned   cancelled! cancelled! -           -      -       -",
    "same scan":           "scanned   stay       stay       stay        -      -       -",
    "right number":        "-         approved   stay       stay        -      -       -",
    "wrong number":        "-         scanned!   wrong      wrong       -      -       -",
    "second wrong number": "-         cancelled! wrong      wrong       -      -       -",
    "deny":                "denied    denied     denied     -           stay   -       -",
    "cancel":              "cancelled cancelled  cancelled  -           -      -       stay",
    "collect":             "-         -          completed  stay        -      -       -",
}  # fmt: skip
DIRECT = {
    **PLAIN,
    "first scan":          "approved  cancelled! cancelled! cancelled!* -      -       -",
    "same scan":           "approved  stay       stay       stay        -      -       -",
    "right number":        "-         approved   -          -           -      -       -",
    "wrong number":        "-         scanned!   -          -           -      -       -",
    "second wrong number": "-         cancelled! -          -           -      -       -",
}  # fmt: skip
EVENTS = {
    "first scan": (Step.SCAN, {}),
    "same scan": (Step.SCAN, {"same_scan": True}),
    "right number": (Step.APPROVE, {"right_number": True}),
    "wrong number": (Step.APPROVE, {}),
    "second wrong number": (Step.APPROVE, {}),
    "deny": (Step.DENY, {}),
    "cancel": (Step.CANCEL, {}),
    "collect": (Step.COLLECT, {}),
}


def right_side(asked: Pairing, step: Step) -> tuple[Side, ...]:
    return {
        Step.SCAN: (Side.SCANNER,),
        Step.APPROVE: (asked.approver,),
        Step.COLLECT: (asked.collector,),
    }.get(step, (Side.STARTER, Side.SCANNER))


@pytest.mark.parametrize("direction", [PairingDirection.PAM, PairingDirection.MAP])
@BOTH
@pytest.mark.parametrize("event", EVENTS)
def test_every_step_from_every_state(event: str, direct: bool, direction: PairingDirection) -> None:
    step, details = EVENTS[event]
    wrong = int(event == "second wrong number")
    found: list[str] = []
    for state in STATES:
        asked = pairing(state, direction, direct=direct, wrong_numbers=wrong)
        words = {
            word(decide_pairing(asked, Event(step, side, **details), NOW))
            for side in right_side(asked, step)
        }
        assert len(words) == 1
        found += words
    assert found == (DIRECT if direct else PLAIN)[event].split()


@pytest.mark.parametrize("direction", [PairingDirection.PAM, PairingDirection.MAP])
def test_the_wrong_side_is_told_nothing(direction: PairingDirection) -> None:
    for state, step, right, direct in product(
        STATES, (Step.APPROVE, Step.COLLECT), (False, True), (False, True)
    ):
        asked = pairing(state, direction, direct=direct)
        wrong_side = ({Side.STARTER, Side.SCANNER} - {*right_side(asked, step)}).pop()
        decision = decide_pairing(asked, Event(step, wrong_side, right_number=right), NOW)
        assert decision == Refuse(Reason.PAIRING_NOT_FOUND)


def test_the_one_who_approves_is_never_the_one_who_collects() -> None:
    for direction in (PairingDirection.PAM, PairingDirection.MAP):
        asked = pairing(PairingState.PENDING, direction)
        assert asked.approver is not asked.collector


@pytest.mark.parametrize("event", EVENTS)
@BOTH
def test_at_its_end_a_live_state_is_as_good_as_expired(event: str, direct: bool) -> None:
    step, details = EVENTS[event]
    for state, late in product(LIVE, (timedelta(0), SECOND)):
        asked = pairing(state, direct=direct)
        for side in right_side(asked, step):
            expired = replace(asked, state=PairingState.EXPIRED)
            happening = Event(step, side, **details)
            assert decide_pairing(asked, happening, asked.ends_at + late) == decide_pairing(
                expired, happening, NOW
            )
        before = decide_pairing(asked, Event(step, side, **details), asked.ends_at - SECOND / 1000)
        assert word(before) == word(decide_pairing(asked, Event(step, side, **details), NOW))


def test_final_states_do_not_expire() -> None:
    for state in set(STATES) - LIVE:
        assert pairing(state).at(NOW + timedelta(days=1)).state is state


def test_the_times_of_each_state() -> None:
    moves = {
        (PairingState.PENDING, Step.SCAN): NOW + DECISION_TIME,
        (PairingState.SCANNED, Step.APPROVE): NOW + COLLECTION_TIME,
        (PairingState.APPROVED, Step.COLLECT): NOW,
        (PairingState.SCANNED, Step.DENY): NOW,
        (PairingState.SCANNED, Step.CANCEL): NOW,
    }
    for (state, step), ends_at in moves.items():
        asked = pairing(state)
        side = right_side(asked, step)[0]
        decision = decide_pairing(asked, Event(step, side, right_number=True), NOW)
        assert isinstance(decision, Move)
        assert decision.ends_at == ends_at
    direct = pairing(PairingState.PENDING, PairingDirection.PAM, direct=True)
    decision = decide_pairing(direct, Event(Step.SCAN, Side.SCANNER), NOW)
    assert isinstance(decision, Move)
    assert decision.ends_at == NOW + COLLECTION_TIME


def test_a_wrong_number_gains_no_time_and_is_counted() -> None:
    asked = pairing(PairingState.SCANNED)
    decision = decide_pairing(asked, Event(Step.APPROVE, Side.SCANNER), NOW)
    assert decision == Move(
        PairingState.SCANNED, asked.ends_at, 1, refusal=Reason.CHECK_NUMBER_WRONG
    )
    again = decide_pairing(replace(asked, wrong_numbers=1), Event(Step.APPROVE, Side.SCANNER), NOW)
    assert again == Move(
        PairingState.CANCELLED,
        NOW,
        2,
        refusal=Reason.CHECK_NUMBER_WRONG,
        end_reason=PairingEndReason.CHECK_NUMBER,
    )


@pytest.mark.parametrize("state", LIVE)
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("step", [Step.DENY, Step.CANCEL])
def test_what_ends_by_a_person_says_on_which_side(
    step: Step, side: Side, state: PairingState
) -> None:
    decision = decide_pairing(pairing(state), Event(step, side), NOW)
    assert isinstance(decision, Move)
    assert decision.end_reason is PairingEndReason[side.name]


def test_only_an_end_that_somebody_made_has_a_reason() -> None:
    seen: dict[PairingState, set[PairingEndReason]] = {}
    for state, (step, details), wrong in product(STATES, EVENTS.values(), (0, 1)):
        asked = pairing(state, wrong_numbers=wrong)
        for side in right_side(asked, step):
            decision = decide_pairing(asked, Event(step, side, **details), NOW)
            if isinstance(decision, Move):
                seen.setdefault(decision.state, set()).add(decision.end_reason)
    people = {PairingEndReason.STARTER, PairingEndReason.SCANNER}
    assert seen.pop(PairingState.DENIED) == people
    assert seen.pop(PairingState.CANCELLED) == people | {
        PairingEndReason.CHECK_NUMBER,
        PairingEndReason.SECOND_SCAN,
    }
    assert set().union(*seen.values()) == {PairingEndReason.UNSPECIFIED}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("", "", False),
        ("192.0.2.1", "", False),
    ],
)
def test_the_same_network(one: str, other: str, same: bool) -> None:
    asked = replace(
        pairing(PairingState.SCANNED),
        starter=Device(ip_address=one),
        scanner=Device(ip_address=other),
    )
    assert asked.same_network is same
