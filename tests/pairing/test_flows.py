"""Pairings as they are meant to go, on two nodes."""

import os

from tests.support.callers import Callers
from tests.support.devices import PC, PHONE, following, start_map, start_pam, state_name

Nodes = tuple[Callers, Callers]


async def test_a_phone_lets_a_browser_in(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    phone = (await nodes[1].log_in(person, "mobile")).session_token
    pair = await start_map(nodes[0], scopes=["orders.read"])
    assert pair.started.code in pair.started.qr_uri
    pair.phone = nodes[1].client("mobile")
    async with following(pair.watch(nodes[1].web)) as stream:
        first = await stream.read()
        assert state_name(first.state) == "PENDING"
        assert (first.code, first.qr_uri) == (pair.started.code, pair.started.qr_uri)
        scanned = await pair.scanned(session_token=phone)
        assert scanned.peer == PC
        assert scanned.check_number == ""
        second = await stream.read()
        assert state_name(second.state) == "SCANNED"
        assert (second.peer, second.code) == (PHONE, "")
        assert second.same_network
        await pair.approve(phone, second.check_number)
        assert state_name((await stream.read()).state) == "APPROVED"
        once = os.urandom(16)
        collected = await pair.collect(once)
        assert state_name((await stream.read()).state) == "COMPLETED"
        assert not await stream.read()
    tokens = collected.tokens
    assert list(tokens.access_tokens[0].scopes) == ["orders.read"]
    answer = await nodes[1].gateway.validate(tokens.access_tokens[0].token)
    assert answer.principal.subject == person.user_id
    assert list(answer.principal.amr) == ["pwd", "xdev"]
    assert answer.principal.device_id == PC.device_id
    again = await pair.collect(once)
    assert again.replayed
    assert again.tokens.session_token == tokens.session_token
    exchanged = await nodes[1].web.exchange(tokens.session_token)
    assert exchanged.tokens.session_id == tokens.session_id


async def test_a_browser_lets_a_phone_in(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    browser = (await nodes[0].log_in(person)).session_token
    pair = await start_pam(nodes[0], browser)
    pair.phone = nodes[1].client("mobile")
    scanned = await pair.scanned()
    assert scanned.peer == PC
    assert len(scanned.check_number) == 2
    assert (await pair.state()).check_number == ""
    async with following(pair.watch(side="scanner")) as stream:
        assert state_name((await stream.read()).state) == "SCANNED"
        await pair.approve(browser)
        assert state_name((await stream.read()).state) == "APPROVED"
        collected = await pair.collect()
        assert state_name((await stream.read()).state) == "COMPLETED"
    session_id = collected.tokens.session_id
    exchanged = await nodes[0].client("mobile").exchange(collected.tokens.session_token)
    assert exchanged.tokens.session_id == session_id
