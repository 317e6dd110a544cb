"""Two at once, on two server processes: one outcome each."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from tests.support.callers import Callers
from tests.support.devices import Pair, other_number, scan, start_map, start_pam, state_name
from tests.support.outcomes import all_at_once, outcome, replies
from tokenservice.v1 import pairing_service_pb2 as pb

Nodes = tuple[Callers, Callers]
ROUNDS = 8


async def scanned_map(nodes: Nodes, phone: str) -> Pair:
    pair = await start_map(nodes[0])
    await pair.scanned(session_token=phone)
    return pair


async def approved_map(nodes: Nodes, phone: str) -> Pair:
    pair = await scanned_map(nodes, phone)
    await pair.approve(phone)
    return pair


def at(pair: Pair, node: Callers) -> Pair:
    """The same pairing, by way of another node."""
    return Pair(node.web, node.client("mobile"), pair.direction, pair.started, pair.scan)


@pytest.fixture
async def phone(nodes: Nodes) -> str:
    """A session of somebody new on a phone."""
    return (await nodes[0].log_in(await nodes[0].new_person(), "mobile")).session_token


async def both(*calls: Awaitable[Any]) -> list[Any]:
    return await all_at_once(calls)


async def test_two_scanners(nodes: Nodes, phone: str) -> None:
    for _ in range(ROUNDS):
        pair = await start_map(nodes[0])
        mobiles = [node.client("mobile") for node in nodes]
        found = await both(*(scan(api, pair.started.code, session_token=phone) for api in mobiles))
        # Whoever is first has it, and then both have lost it.
        assert len(replies(found)) == 1
        assert "PAIRING_STATE" in found
        assert state_name((await pair.state()).state) == "CANCELLED"


async def test_one_scan_twice_at_once(nodes: Nodes, phone: str) -> None:
    for _ in range(ROUNDS):
        pair = await start_map(nodes[0])
        request = {"scan_id": os.urandom(16), "session_token": phone}
        mobiles = [node.client("mobile") for node in nodes for _ in range(3)]
        found = await both(*(scan(api, pair.started.code, **request) for api in mobiles))
        assert len({one.scan_secret for one in replies(found)}) == 1
        assert len(replies(found)) == 6
        assert state_name((await pair.state()).state) == "SCANNED"


async def test_two_approvers(nodes: Nodes, phone: str) -> None:
    for _ in range(ROUNDS):
        pair = await scanned_map(nodes, phone)
        number = await pair.number()
        wrong = other_number(number)
        found = await both(
            pair.approve(phone, number),
            at(pair, nodes[1]).approve(phone, wrong),
            at(pair, nodes[1]).approve(phone, wrong),
        )
        state = state_name((await pair.state()).state)
        approved = not isinstance(found[0], str)
        assert state == ("APPROVED" if approved else "CANCELLED")
        assert found[1:].count("CHECK_NUMBER_WRONG") == 2 or approved or found[0] == "PAIRING_STATE"


@pytest.mark.parametrize("other", ["deny", "cancel", "second scan"])
async def test_approve_against(nodes: Nodes, phone: str, other: str) -> None:
    for _ in range(ROUNDS):
        pair = await scanned_map(nodes, phone)
        number = await pair.number()
        there = at(pair, nodes[1])
        against: dict[str, Callable[[], Awaitable[Any]]] = {
            "deny": there.deny,
            "cancel": there.cancel,
            "second scan": partial(there.scanned, session_token=phone),
        }
        found = await both(pair.approve(phone, number), against[other]())
        state = state_name((await pair.state()).state)
        # An approval may come first; what ends the pairing then ends an approved one.
        assert state == ("DENIED" if other == "deny" else "CANCELLED")
        assert not isinstance(found[0], str) or found[0] == "PAIRING_STATE"
        assert await outcome(pair.collect()) == "PAIRING_STATE"


@pytest.mark.parametrize("other", ["deny", "cancel", "second scan"])
async def test_collect_against(nodes: Nodes, phone: str, other: str) -> None:
    for _ in range(ROUNDS):
        pair = await approved_map(nodes, phone)
        there = at(pair, nodes[1])
        against: dict[str, Callable[[], Awaitable[Any]]] = {
            "deny": there.deny,
            "cancel": there.cancel,
            "second scan": partial(there.scanned, session_token=phone),
        }
        collected, ended = await both(pair.collect(), against[other]())
        state = state_name((await pair.state()).state)
        if isinstance(collected, str):
            assert collected == "PAIRING_STATE"
            assert state == ("DENIED" if other == "deny" else "CANCELLED")
        else:
            assert ended == "PAIRING_STATE"
            assert state == "COMPLETED"


async def test_cancel_against_the_scan(nodes: Nodes, phone: str) -> None:
    for _ in range(ROUNDS):
        pair = await start_map(nodes[0])
        scanner = scan(nodes[1].client("mobile"), pair.started.code, session_token=phone)
        cancelled, scanned = await both(pair.cancel(), scanner)
        assert not isinstance(cancelled, str)
        assert scanned == "PAIRING_STATE" or isinstance(scanned, pb.ScanPairingResponse)
        assert state_name((await pair.state()).state) == "CANCELLED"


async def test_collect_against_collect(nodes: Nodes, phone: str) -> None:
    for _ in range(ROUNDS):
        pair = await approved_map(nodes, phone)
        pairs = [at(pair, node) for node in nodes for _ in range(4)]
        found = await both(*(one.collect(os.urandom(16)) for one in pairs))
        (first,) = replies(found)
        assert set(map(type, found)) == {str, pb.CollectPairingResponse}
        assert {one for one in found if isinstance(one, str)} == {"PAIRING_STATE"}
        assert not first.replayed


async def test_one_collection_many_times_at_once(nodes: Nodes, phone: str) -> None:
    for _ in range(ROUNDS):
        pair = await approved_map(nodes, phone)
        once = os.urandom(16)
        pairs = [at(pair, node) for node in nodes for _ in range(4)]
        found = replies(await both(*(one.collect(once) for one in pairs)))
        assert len(found) == 8
        assert len({one.tokens.session_token for one in found}) == 1
        assert [one.replayed for one in found].count(False) == 1


@pytest.mark.parametrize("how", ["session", "device", "disable"])
async def test_the_approver_is_revoked_while_it_is_collected(nodes: Nodes, how: str) -> None:
    """Whichever comes first: once the revocation is acknowledged, nothing that came of it is
    good, neither session nor access token, on any node."""
    for number in range(ROUNDS):
        person = await nodes[0].new_person()
        mobile = nodes[0].client("mobile")
        device = {"device_id": f"lost-{number}"}
        login = await mobile.login(
            person.username, person.password, platform=2, audiences=["orders"], device=device
        )
        pair = await approved_map(nodes, login.session_token)

        async def end(person: Any = person, login: Any = login, device: Any = device) -> int:
            admin = nodes[1].admin
            if how == "disable":
                return await nodes[1].disable_user(person.user_id)
            if how == "session":
                return (await admin.revoke(session_id=login.session_id, reason=2)).revision
            target = {"subject": person.user_id, **device}
            return (await admin.revoke(subject_device=target, reason=3)).revision

        collecting = asyncio.create_task(outcome(pair.collect()))
        await asyncio.sleep(0.002 * (number % 4))  # so that each is first at times
        revision = await end()
        collected = await collecting
        if isinstance(collected, str):
            assert collected == "PAIRING_STATE"
            continue
        tokens = collected.tokens
        assert await outcome(nodes[1].web.exchange(tokens.session_token)) == "TOKEN_REVOKED"
        for node in nodes:
            access = tokens.access_tokens[0].token
            assert await node.gateway.verdict(access, min_revision=revision) == "REVOKED"


async def test_pam_goes_over_both_nodes_at_once(nodes: Nodes) -> None:
    """Many pairings of many people do not mix."""
    people = [await nodes[0].new_person() for _ in range(4)]
    browsers = [(await nodes[0].log_in(person)).session_token for person in people]

    async def run(person: Any, browser: str) -> None:
        pair = await start_pam(nodes[0], browser)
        pair.phone = nodes[1].client("mobile")
        await pair.scanned()
        await at(pair, nodes[1]).approve(browser)
        access = (await pair.collect()).tokens.access_tokens[0].token
        answer = await nodes[0].gateway.validate(access)
        assert answer.principal.subject == person.user_id

    await asyncio.gather(
        *(run(person, browser) for person, browser in zip(people, browsers, strict=True))
    )
