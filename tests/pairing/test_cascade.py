"""How far a revocation reaches among sessions that let one another in."""

from dataclasses import dataclass

import pytest

from tests.support.api import Api
from tests.support.callers import Callers, Person
from tests.support.devices import PC, PHONE, start_map, start_pam
from tests.support.outcomes import outcome
from tokenservice.v1 import session_service_pb2 as sessions
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

Nodes = tuple[Callers, Callers]


@dataclass
class Held:
    """A session and who exchanges it."""

    api: Api
    tokens: types.TokenSet

    @property
    def id(self) -> str:
        return self.tokens.session_id


async def let_phone_in(node: Callers, browser: Held) -> Held:
    pair = await start_pam(node, browser.tokens.session_token)
    await pair.scanned()
    await pair.approve(browser.tokens.session_token)
    return Held(node.client("mobile"), (await pair.collect()).tokens)


async def let_browser_in(node: Callers, phone: Held) -> Held:
    pair = await start_map(node)
    await pair.scanned(session_token=phone.tokens.session_token)
    await pair.approve(phone.tokens.session_token)
    return Held(node.web, (await pair.collect()).tokens)


async def family(node: Callers, person: Person) -> dict[str, Held]:
    """browser → phone → second browser → second phone; and another browser of the person."""
    login = await node.web.login(person.username, person.password, audiences=["orders"], device=PC)
    browser = Held(node.web, login)
    phone = await let_phone_in(node, browser)
    second = await let_browser_in(node, phone)
    return {
        "browser": browser,
        "phone": phone,
        "second browser": second,
        "second phone": await let_phone_in(node, second),
        "other": Held(node.web, await node.log_in(person)),
    }


async def alive(node: Callers, members: dict[str, Held], revision: int) -> set[str]:
    """Whose access tokens are good on this node, and with them whose session tokens."""
    found = set()
    for name, held in members.items():
        access = held.tokens.access_tokens[0].token
        if await node.gateway.verdict(access, min_revision=revision) == "ACTIVE":
            found.add(name)
    for name, held in members.items():
        exchanged = await outcome(held.api.exchange(held.tokens.session_token))
        assert (exchanged == "TOKEN_REVOKED") == (name not in found), name
    return found


def reason(name: str) -> types.RevocationReason.ValueType:
    return types.RevocationReason.Value(f"REVOCATION_REASON_{name}")


ALL = {"browser", "phone", "second browser", "second phone", "other"}


@pytest.mark.parametrize(
    ("why", "target", "left"),
    [
        ("LOGOUT", "browser", ALL - {"browser"}),
        ("LOGOUT", "phone", ALL - {"phone", "second browser"}),
        ("COMPROMISE", "browser", {"other"}),
        ("LOST_DEVICE", "phone", {"other", "browser"}),
        ("ADMINISTRATIVE", "second browser", {"other", "browser", "phone"}),
    ],
)
async def test_revoking_a_session(nodes: Nodes, why: str, target: str, left: set[str]) -> None:
    members = await family(nodes[0], await nodes[0].new_person())
    done = await nodes[1].admin.revoke(session_id=members[target].id, reason=reason(why))
    assert done.revoked_sessions == len(ALL) - len(left)
    assert await alive(nodes[0], members, done.revision) == left


async def test_reuse_reaches_everything_below(nodes: Nodes) -> None:
    members = await family(nodes[0], await nodes[0].new_person())
    browser = members["browser"]
    await browser.api.exchange(browser.tokens.session_token)
    assert await outcome(browser.api.exchange(browser.tokens.session_token)) == "TOKEN_REUSED"
    assert await alive(nodes[0], members, 0) == {"other"}


async def test_a_session_that_is_over_still_leads_to_what_it_let_in(nodes: Nodes) -> None:
    members = await family(nodes[0], await nodes[0].new_person())
    admin, session_id = nodes[0].admin, members["browser"].id
    await admin.revoke(session_id=session_id, reason=reason("LOGOUT"))
    done = await admin.revoke(session_id=session_id, reason=reason("COMPROMISE"))
    assert done.revoked_sessions == 3
    assert await alive(nodes[1], members, done.revision) == {"other"}


async def test_a_lost_device(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    members = await family(nodes[0], person)
    device = pb.SubjectDevice(subject=person.user_id, device_id=PHONE.device_id)
    done = await nodes[1].admin.revoke(subject_device=device, reason=reason("LOST_DEVICE"))
    assert done.revoked_sessions == 3
    assert await alive(nodes[0], members, done.revision) == {"browser", "other"}


async def test_a_client(nodes: Nodes) -> None:
    """What its sessions let in at other clients goes too; as when it is disabled."""
    members = await family(nodes[0], await nodes[0].new_person())
    done = await nodes[1].admin.revoke(client_id="demo-mobile")
    assert await alive(nodes[0], members, done.revision) == {"browser", "other"}
    members = await family(nodes[0], await nodes[0].new_person())
    revision = await nodes[0].disable_client("demo-mobile")
    await nodes[0].enable_client("demo-mobile")
    for name in ("phone", "second browser", "second phone"):
        access = members[name].tokens.access_tokens[0].token
        assert await nodes[1].gateway.verdict(access, min_revision=revision) == "REVOKED"
    second = members["second browser"]
    assert await outcome(second.api.exchange(second.tokens.session_token)) == "TOKEN_REVOKED"


async def test_log_out_everywhere_else_spares_the_one_that_asks(nodes: Nodes) -> None:
    members = await family(nodes[0], await nodes[0].new_person())
    second = members["second browser"]
    request = sessions.RevokeOtherSessionsRequest(
        session_token=second.tokens.session_token, reason=reason("COMPROMISE")
    )
    done = await second.api.sessions.RevokeOtherSessions(request, metadata=second.api.metadata)
    assert await alive(nodes[1], members, done.revision) == {"second browser"}


async def test_the_list_names_who_let_it_in(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    members = await family(nodes[0], person)
    request = sessions.ListSessionsRequest(subject=person.user_id)
    admin = nodes[1].admin
    listed = await admin.sessions.ListSessions(request, metadata=admin.metadata)
    parents = {one.session_id: one.parent_session_id for one in listed.sessions}
    assert parents == {
        members["browser"].id: "",
        members["other"].id: "",
        members["phone"].id: members["browser"].id,
        members["second browser"].id: members["phone"].id,
        members["second phone"].id: members["second browser"].id,
    }
