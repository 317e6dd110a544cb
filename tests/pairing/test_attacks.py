"""What must not get anybody in."""

import asyncio
import os
from typing import Any

import grpc
import pytest

from tests.support.api import reason_of
from tests.support.callers import Callers
from tests.support.devices import (
    FAR_PHONE,
    MAP,
    PAM,
    PC,
    other_number,
    scan,
    start_map,
    start_pam,
    state_name,
)
from tests.support.outcomes import outcome
from tokenservice.v1 import pairing_service_pb2 as pb

Nodes = tuple[Callers, Callers]


async def test_nothing_works_without_the_secrets(nodes: Nodes) -> None:
    """Who saw the code and knows the pairing's id has neither secret."""
    person = await nodes[0].new_person()
    phone = (await nodes[0].log_in(person, "mobile")).session_token
    pair = await start_map(nodes[0])
    await pair.scanned(session_token=phone)
    other = await start_map(nodes[0])
    await other.scanned(session_token=phone)
    web, mobile = nodes[0].web, nodes[0].client("mobile")
    wrong: list[dict[str, str]] = [
        {"watch_secret": other.started.watch_secret},
        {"watch_secret": other.scanner["scan_secret"]},
        {"watch_secret": pair.scanner["scan_secret"]},
        {"watch_secret": pair.started.code},
        {"scan_secret": other.scanner["scan_secret"]},
        {"scan_secret": pair.started.watch_secret},
        {"watch_secret": nodes[0].world.clients["demo-web"]},
    ]
    for secret in wrong:
        proof: dict[str, Any] = {"pairing_id": pair.pairing_id, **secret}
        for api in (web, mobile):
            calls = (
                api.pairings.GetPairing(pb.GetPairingRequest(**proof), metadata=api.metadata),
                api.pairings.WatchPairing(
                    pb.WatchPairingRequest(**proof), metadata=api.metadata
                ).read(),
                api.pairings.DenyPairing(pb.DenyPairingRequest(**proof), metadata=api.metadata),
                api.pairings.CancelPairing(pb.CancelPairingRequest(**proof), metadata=api.metadata),
                api.pairings.CollectPairing(
                    pb.CollectPairingRequest(**proof), metadata=api.metadata
                ),
                api.pairings.ApprovePairing(
                    pb.ApprovePairingRequest(session_token=phone, check_number="11", **proof),
                    metadata=api.metadata,
                ),
            )
            for call in calls:
                assert await outcome(call) in {"PAIRING_NOT_FOUND", "RATE_LIMITED"}
    assert state_name((await pair.state()).state) == "SCANNED"


async def test_a_secret_is_of_no_use_to_another_client(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    phone = (await nodes[0].log_in(person, "mobile")).session_token
    pair = await start_map(nodes[0])
    await pair.scanned(session_token=phone)
    await pair.approve(phone)
    stranger = nodes[0].client("admin")
    request = pb.CollectPairingRequest(**pair.starter)
    call = stranger.pairings.CollectPairing(request, metadata=stranger.metadata)
    assert await outcome(call) == "CLIENT_MISMATCH"
    assert (await pair.collect()).tokens.session_token


@pytest.mark.parametrize("length", [17, 18])
async def test_guessed_codes(nodes: Nodes, length: int) -> None:
    phone = nodes[0].client("mobile")
    wanted = "FIELD_INVALID" if length == 17 else "PAIRING_STATE"
    guesses = ["0123456789ABCDEFGHJK"[n : n + length] for n in range(3)]
    assert [await outcome(scan(phone, guess)) for guess in guesses] == [wanted] * 3


async def test_somebody_elses_pairing_cannot_be_approved(nodes: Nodes) -> None:
    """Not even with the scan secret, if the session is not the one that scanned."""
    victim, thief = await nodes[0].new_person(), await nodes[0].new_person()
    own = (await nodes[0].log_in(victim, "mobile")).session_token
    foreign = (await nodes[0].log_in(thief, "mobile")).session_token
    also_own = (await nodes[0].log_in(victim, "mobile")).session_token
    pair = await start_map(nodes[0])
    await pair.scanned(session_token=own)
    for token in (foreign, also_own):
        assert await outcome(pair.approve(token)) == "CLIENT_MISMATCH"
    assert state_name((await pair.state()).state) == "SCANNED"
    # The session may be exchanged in between: it is the same one.
    successor = (await nodes[0].client("mobile").exchange(own)).tokens.session_token
    assert await outcome(pair.approve(own)) == "TOKEN_SUPERSEDED"
    await pair.approve(successor)
    await pair.collect()


@pytest.mark.parametrize("late", [False, True])
async def test_a_second_scanner_ends_it(nodes: Nodes, late: bool) -> None:
    person = await nodes[0].new_person()
    phone = (await nodes[0].log_in(person, "mobile")).session_token
    pair = await start_map(nodes[0])
    first = {"scan_id": os.urandom(16), "session_token": phone}
    answer = await pair.scanned(**first)
    assert await pair.scanned(**first) == answer, "a retry"
    if late:
        await pair.approve(phone)
    other = await nodes[0].new_person()
    thief = (await nodes[1].log_in(other, "mobile")).session_token
    second = scan(nodes[1].client("mobile"), pair.started.code, session_token=thief)
    assert await outcome(second) == "PAIRING_STATE"
    assert state_name((await pair.state()).state) == "CANCELLED"
    assert await outcome(pair.approve(phone, "11")) == "PAIRING_STATE"
    assert await outcome(pair.collect()) == "PAIRING_STATE"
    assert await outcome(pair.scanned(**first)) == "PAIRING_STATE"


async def test_a_second_scan_of_a_completed_pairing_changes_nothing(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    phone = (await nodes[0].log_in(person, "mobile")).session_token
    pair = await start_map(nodes[0])
    await pair.scanned(session_token=phone)
    await pair.approve(phone)
    tokens = (await pair.collect()).tokens
    second = scan(nodes[1].client("mobile"), pair.started.code, session_token=phone)
    assert await outcome(second) == "PAIRING_STATE"
    assert await nodes[0].gateway.verdict(tokens.access_tokens[0].token) == "ACTIVE"


async def test_the_second_wrong_number_ends_it(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    browser = (await nodes[0].log_in(person)).session_token
    pair = await start_pam(nodes[0], browser)
    right = (await pair.scanned()).check_number
    wrong = other_number(right)
    assert await outcome(pair.approve(browser, wrong)) == "CHECK_NUMBER_WRONG"
    assert state_name((await pair.state()).state) == "SCANNED"
    assert await outcome(pair.approve(browser, wrong)) == "CHECK_NUMBER_WRONG"
    assert await outcome(pair.approve(browser, right)) == "PAIRING_STATE"
    assert state_name((await pair.state()).state) == "CANCELLED"


async def test_one_wrong_number_may_be_corrected(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    browser = (await nodes[0].log_in(person)).session_token
    pair = await start_pam(nodes[0], browser)
    right = (await pair.scanned()).check_number
    assert await outcome(pair.approve(browser, other_number(right))) == "CHECK_NUMBER_WRONG"
    await pair.approve(browser, right)
    await pair.approve(browser, right)
    assert (await pair.collect()).tokens.session_token


async def test_a_hundred_guesses_at_once_end_it(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    browser = (await nodes[0].log_in(person)).session_token
    pair = await start_pam(nodes[0], browser)
    right = (await pair.scanned()).check_number
    guesses = [f"{n:02}" for n in range(100) if f"{n:02}" != right]
    found = await asyncio.gather(*(outcome(pair.approve(browser, n)) for n in guesses))
    assert set(found) == {"CHECK_NUMBER_WRONG", "PAIRING_STATE"}
    assert found.count("CHECK_NUMBER_WRONG") == 2


async def test_an_access_token_starts_and_approves_nothing(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    browser = await nodes[0].log_in(person)
    phone = await nodes[0].log_in(person, "mobile")
    stolen = browser.access_tokens[0].token
    assert await outcome(start_pam(nodes[0], stolen)) == "TOKEN_MALFORMED"
    pair = await start_map(nodes[0])
    stolen_too = phone.access_tokens[0].token
    assert await outcome(pair.scanned(session_token=stolen_too)) == "TOKEN_MALFORMED"
    assert await outcome(pair.scanned()) in {"FIELD_INVALID", "TOKEN_MALFORMED"}
    await pair.scanned(session_token=phone.session_token)
    assert await outcome(pair.approve(stolen_too)) == "TOKEN_MALFORMED"
    assert await outcome(pair.approve(nodes[0].world.clients["demo-web"])) == "TOKEN_MALFORMED"


async def test_secrets_and_codes_of_other_kinds_are_refused(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    phone = (await nodes[0].log_in(person, "mobile")).session_token
    pair = await start_map(nodes[0])
    await pair.scanned(session_token=phone)
    for token in (pair.started.watch_secret, pair.scanner["scan_secret"]):
        assert await outcome(nodes[0].web.exchange(token)) == "TOKEN_MALFORMED"
        assert await nodes[0].gateway.verdict(token) == "WRONG_KIND"
    assert await outcome(scan(pair.phone, phone[-18:])) in {"FIELD_INVALID", "PAIRING_STATE"}


async def test_only_the_client_fixed_at_the_start_scans_and_collects(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    browser = (await nodes[0].log_in(person)).session_token
    pair = await start_pam(nodes[0], browser)
    for stranger in ("api", "web"):
        call = scan(nodes[1].client(stranger), pair.started.code)
        assert await outcome(call) == "CLIENT_MISMATCH"
    await pair.scanned()
    await pair.approve(browser)
    assert (await pair.collect()).tokens.session_token


async def test_a_client_lets_people_only_into_those_that_it_may(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    browser = (await nodes[0].log_in(person)).session_token
    call = start_pam(nodes[0], browser, client_id="demo-api")
    assert await outcome(call) == "CLIENT_MISMATCH"
    opaque = (await nodes[0].log_in(person, "opaque")).session_token
    pair = await start_map(nodes[0])
    stranger = scan(nodes[0].client("opaque"), pair.started.code, session_token=opaque)
    assert await outcome(stranger) == "CLIENT_MISMATCH"
    assert state_name((await pair.state()).state) == "PENDING"


async def test_the_platform_must_be_allowed(nodes: Nodes) -> None:
    api = nodes[0].client("mobile")
    request = pb.StartPairingRequest(direction=MAP, device=PC)
    call = api.pairings.StartPairing(request, metadata=api.metadata)
    assert await outcome(call) == "PLATFORM_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("direction", {}),
        ("direction", {"direction": 9}),
        ("session_token", {"direction": PAM}),
        ("session_token", {"direction": MAP, "session_token": "x"}),
        ("audiences[0]", {"direction": MAP, "audiences": ["with blank"]}),
        ("device.ip_address", {"direction": MAP, "device": {"ip_address": "nowhere"}}),
    ],
)
async def test_bad_requests_are_named(nodes: Nodes, field: str, request_: dict[str, Any]) -> None:
    web = nodes[0].web
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await web.pairings.StartPairing(pb.StartPairingRequest(**request_), metadata=web.metadata)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused.value) == "FIELD_INVALID"
    assert field.encode() in str(refused.value.trailing_metadata()).encode()


async def test_the_person_sees_that_the_networks_differ(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    phone = (await nodes[0].log_in(person, "mobile")).session_token
    pair = await start_map(nodes[0])
    scanned = await pair.scanned(session_token=phone, device=FAR_PHONE)
    assert not scanned.same_network
    assert not (await pair.state()).same_network
