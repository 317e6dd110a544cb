"""Client secrets: collected once, rotated with an overlap, never seen again."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.node import ADMIN, APP, NOBODY, Node, started
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, KeyPurpose
from token_service.usecases.clients.administration import Review
from token_service.usecases.clients.credentials import (
    MAX_LIVE_SECRETS,
    CollectClientCredentials,
    CollectRequest,
    RotateClientSecret,
    RotateRequest,
)
from token_service.usecases.clients.registration import Registered, Registration

OWN = Caller("shop", APP)
HOUR = timedelta(hours=1)
NONE = timedelta(0)


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as running:
        yield running


@pytest.fixture
def collect(node: Node) -> CollectClientCredentials:
    return node.usecases.clients.collect


@pytest.fixture
def rotate(node: Node) -> RotateClientSecret:
    return node.usecases.clients.rotate


async def registered(node: Node, *, approve: bool = True) -> Registered:
    """A client that waits for its credentials."""
    register = node.usecases.clients.register
    applicant = await register(NOBODY, Registration("shop", "shop@example.test", APP))
    if approve:
        await decide(node, applicant, approve=True)
    return applicant


async def decide(node: Node, applicant: Registered, *, approve: bool) -> None:
    review = node.usecases.clients.review
    await review(ADMIN, Review(applicant.client.client_id, approve=approve))


async def switch(node: Node, client_id: str) -> None:
    admin = node.usecases.clients.administration
    await admin.disable(ADMIN, client_id, "")


async def new_pepper(node: Node) -> None:
    """Move on to another pepper."""
    compromise = node.usecases.keys.compromise
    former = node.parts.secrets.active_pepper()
    await compromise(ADMIN, former, "")
    await node.refresh()
    assert node.parts.secrets.active_pepper() != former


def request(applicant: Registered, request_id: str = "4b1c") -> CollectRequest:
    return CollectRequest(applicant.client.client_id, applicant.registration_secret, request_id)


async def test_an_approved_client_collects_and_is_recognised(
    node: Node, collect: CollectClientCredentials
) -> None:
    applicant = await registered(node)
    secret = await collect(NOBODY, request(applicant))
    client_id = applicant.client.client_id
    assert secret.startswith("tsk_cs_")
    assert await node.recognises(client_id, secret)
    client = await node.client(client_id)
    assert client.state is ClientState.ACTIVE
    assert client.registration_spent
    assert not any(secret in str(one) for one in client.secrets)


async def test_credentials_wait_for_approval(node: Node, collect: CollectClientCredentials) -> None:
    applicant = await registered(node, approve=False)
    with pytest.raises(TokenServiceError) as refused:
        await collect(NOBODY, request(applicant))
    assert refused.value.reason is Reason.CLIENT_NOT_APPROVED
    await decide(node, applicant, approve=False)
    with pytest.raises(TokenServiceError) as refused:
        await collect(NOBODY, request(applicant))
    assert refused.value.reason is Reason.CLIENT_NOT_APPROVED
    assert await node.audited("client.collect") == 0


async def test_a_disabled_client_collects_nothing(
    node: Node, collect: CollectClientCredentials
) -> None:
    applicant = await registered(node)
    await switch(node, applicant.client.client_id)
    with pytest.raises(TokenServiceError) as refused:
        await collect(NOBODY, request(applicant))
    assert refused.value.reason is Reason.CLIENT_DISABLED


async def test_a_foreign_registration_secret_collects_nothing(
    node: Node, collect: CollectClientCredentials
) -> None:
    texts: set[str] = set()

    async def nothing_is_learned() -> None:
        for attempt in (
            CollectRequest(client_id, other.registration_secret, "r"),
            CollectRequest(client_id, "tsk_rs_guessed", "r"),
            CollectRequest(client_id, "", "r"),
            CollectRequest("unknown", applicant.registration_secret, "r"),
            CollectRequest("unknown", "x", "r"),
        ):
            with pytest.raises(TokenServiceError) as refused:
                await collect(NOBODY, attempt)
            assert refused.value.reason is Reason.CREDENTIALS_INVALID
            texts.add(refused.value.message)

    applicant, other = await registered(node, approve=False), await registered(node)
    client_id = applicant.client.client_id
    await nothing_is_learned()
    await decide(node, applicant, approve=True)
    await nothing_is_learned()
    assert (await node.client(client_id)).secrets == ()
    secret = await collect(NOBODY, request(applicant))
    await nothing_is_learned()
    assert await node.recognises(client_id, secret)
    await nothing_is_learned()
    await switch(node, client_id)
    await nothing_is_learned()
    assert len(texts) == 1


async def test_nobody_learns_whether_a_client_ever_had_a_registration_secret(
    node: Node, collect: CollectClientCredentials
) -> None:
    applicant = await registered(node)
    credentials = await node.bootstrap("gateway")
    for used in (False, True):
        with pytest.raises(TokenServiceError) as refused:
            await collect(NOBODY, CollectRequest("gateway", applicant.registration_secret, "r"))
        assert refused.value.reason is Reason.CREDENTIALS_INVALID
        assert await node.recognises("gateway", credentials.client_secret) or used


async def test_the_applicant_is_told_of_a_collection_also_after_rotations(
    node: Node, collect: CollectClientCredentials, rotate: RotateClientSecret
) -> None:
    applicant = await registered(node)
    client_id = applicant.client.client_id
    assert await node.recognises(client_id, await collect(NOBODY, request(applicant)))
    own = Caller(client_id, APP)
    for request_id in ("one", "two"):  # the second removes the used secret, which has ended
        await rotate(own, RotateRequest(request_id, overlap=NONE))
        node.clock.move(HOUR)
    assert not any(one.first_used_at for one in (await node.client(client_id)).secrets)
    with pytest.raises(TokenServiceError) as refused:
        await collect(NOBODY, request(applicant))
    assert refused.value.reason is Reason.CREDENTIALS_COLLECTED


async def test_a_client_secret_is_no_registration_secret(
    node: Node, collect: CollectClientCredentials
) -> None:
    applicant = await registered(node)
    secret = await collect(NOBODY, request(applicant))
    attempt = CollectRequest(applicant.client.client_id, secret, "r")
    with pytest.raises(TokenServiceError) as refused:
        await collect(NOBODY, attempt)
    assert refused.value.reason is Reason.CREDENTIALS_INVALID


async def test_a_lost_reply_is_asked_for_again_and_gives_the_same(
    node: Node, collect: CollectClientCredentials
) -> None:
    applicant = await registered(node)
    secrets = await asyncio.gather(*(collect(NOBODY, request(applicant)) for _ in range(8)))
    assert len(set(secrets)) == 1
    assert len((await node.client(applicant.client.client_id)).secrets) == 1
    assert await node.audited("client.collect") == 1


async def test_another_request_replaces_a_secret_that_was_not_used(
    node: Node, collect: CollectClientCredentials
) -> None:
    applicant = await registered(node)
    client_id = applicant.client.client_id
    first = await collect(NOBODY, request(applicant, "one"))
    second = await collect(NOBODY, request(applicant, "two"))
    assert first != second
    assert not await node.recognises(client_id, first)
    assert await node.recognises(client_id, second)


async def test_after_the_first_use_nothing_is_handed_out(
    node: Node, collect: CollectClientCredentials
) -> None:
    applicant = await registered(node)
    client_id = applicant.client.client_id
    secret = await collect(NOBODY, request(applicant))
    assert await node.recognises(client_id, secret)
    for request_id in ("4b1c", "other"):
        with pytest.raises(TokenServiceError) as refused:
            await collect(NOBODY, request(applicant, request_id))
        assert refused.value.reason is Reason.CREDENTIALS_COLLECTED
    assert await node.recognises(client_id, secret)


async def test_a_retry_after_the_pepper_moved_on_gives_a_secret_that_works(
    node: Node, collect: CollectClientCredentials
) -> None:
    applicant = await registered(node)
    first = await collect(NOBODY, request(applicant))
    await new_pepper(node)
    second = await collect(NOBODY, request(applicant))
    assert first != second
    assert await node.recognises(applicant.client.client_id, second)
    assert not await node.recognises(applicant.client.client_id, first)


async def test_closed_registration_needs_the_permission_to_collect(node: Node) -> None:
    applicant = await registered(node)
    collect = node.under(open_registration=False).usecases.clients.collect
    with pytest.raises(TokenServiceError) as refused:
        await collect(NOBODY, request(applicant))
    assert refused.value.reason is Reason.PERMISSION_MISSING
    assert await collect(ADMIN, request(applicant))


async def test_both_secrets_work_until_the_overlap_ends(
    node: Node, rotate: RotateClientSecret
) -> None:
    old = (await node.bootstrap("shop")).client_secret
    assert await node.recognises("shop", old)
    rotated = await rotate(OWN, RotateRequest("r1", overlap=HOUR))
    assert rotated.old_expires_at == node.clock.now() + HOUR
    assert await node.recognises("shop", old)
    assert await node.recognises("shop", rotated.client_secret)
    node.clock.move(HOUR - timedelta(milliseconds=1))
    assert await node.recognises("shop", old)
    node.clock.move(timedelta(milliseconds=1))
    assert not await node.recognises("shop", old)
    assert await node.recognises("shop", rotated.client_secret)


async def test_without_overlap_the_old_secret_ends_at_once(
    node: Node, rotate: RotateClientSecret
) -> None:
    old = (await node.bootstrap("shop")).client_secret
    assert await node.recognises("shop", old)
    rotated = await rotate(ADMIN, RotateRequest("r1", "shop", NONE))
    assert rotated.old_expires_at is None
    assert not await node.recognises("shop", old)
    assert await node.recognises("shop", rotated.client_secret)


async def test_a_later_rotation_does_not_prolong_an_earlier_overlap(
    node: Node, rotate: RotateClientSecret
) -> None:
    old = (await node.bootstrap("shop")).client_secret
    first = await rotate(OWN, RotateRequest("r1", overlap=HOUR))
    second = await rotate(OWN, RotateRequest("r2", overlap=5 * HOUR))
    assert second.old_expires_at == node.clock.now() + 5 * HOUR
    node.clock.move(HOUR)
    assert not await node.recognises("shop", old)
    assert await node.recognises("shop", first.client_secret)


async def test_a_rotation_is_repeated_by_its_request_id(
    node: Node, rotate: RotateClientSecret
) -> None:
    await node.bootstrap("shop")
    answers = await asyncio.gather(
        *(rotate(OWN, RotateRequest("r1", overlap=HOUR)) for _ in range(8))
    )
    assert len({answer.client_secret for answer in answers}) == 1
    node.clock.move(timedelta(minutes=1))
    again = await rotate(OWN, RotateRequest("r1", overlap=HOUR))
    assert again.client_secret == answers[0].client_secret
    assert again.old_expires_at == answers[0].old_expires_at
    other = await rotate(OWN, RotateRequest("r2", overlap=HOUR))
    assert other.client_secret != again.client_secret
    assert await node.audited("client.rotate_secret") == 2


async def test_a_secret_that_was_rotated_out_never_comes_back(
    node: Node, rotate: RotateClientSecret
) -> None:
    await node.bootstrap("shop")
    leaked = (await rotate(OWN, RotateRequest("r1", overlap=NONE))).client_secret
    seen = {leaked}
    for request_id in ("r2", "r3", "r1", "r2", "r1"):
        node.clock.move(timedelta(days=1))
        fresh = (await rotate(OWN, RotateRequest(request_id, overlap=NONE))).client_secret
        assert fresh not in seen
        seen.add(fresh)
        assert await node.recognises("shop", fresh)
        assert not await node.recognises("shop", leaked)


async def test_the_number_of_working_secrets_is_bounded(
    node: Node, rotate: RotateClientSecret
) -> None:
    await node.bootstrap("shop")
    for number in range(MAX_LIVE_SECRETS - 1):
        await rotate(OWN, RotateRequest(f"r{number}", overlap=HOUR))
    with pytest.raises(TokenServiceError) as refused:
        await rotate(OWN, RotateRequest("one more", overlap=HOUR))
    assert refused.value.reason is Reason.RATE_LIMITED
    assert refused.value.retry_after == HOUR
    retried = await rotate(OWN, RotateRequest("r0", overlap=HOUR))
    assert await node.recognises("shop", retried.client_secret)
    urgent = await rotate(OWN, RotateRequest("urgent", overlap=NONE))
    assert urgent.old_expires_at is None
    assert not await node.recognises("shop", retried.client_secret)


async def test_only_administrators_rotate_the_secrets_of_others(
    node: Node, rotate: RotateClientSecret
) -> None:
    secret = (await node.bootstrap("shop")).client_secret
    for client_id in ("shop", "unknown"):
        with pytest.raises(TokenServiceError) as refused:
            await rotate(Caller("thief", APP), RotateRequest("r", client_id))
        assert refused.value.reason is Reason.PERMISSION_MISSING
    assert await node.recognises("shop", secret)
    with pytest.raises(TokenServiceError) as refused:
        await rotate(ADMIN, RotateRequest("r", "unknown"))
    assert refused.value.reason is Reason.CLIENT_NOT_FOUND


async def test_an_access_token_gets_no_secret(node: Node, rotate: RotateClientSecret) -> None:
    secret = (await node.bootstrap("shop")).client_secret
    for caller in (OWN, ADMIN):
        with pytest.raises(TokenServiceError) as refused:
            await rotate(replace(caller, by_token=True), RotateRequest("r", "shop", NONE))
        assert refused.value.reason is Reason.CREDENTIAL_NOT_ALLOWED
    assert await node.recognises("shop", secret)


async def test_only_clients_in_use_rotate(node: Node, rotate: RotateClientSecret) -> None:
    pending = (await registered(node, approve=False)).client.client_id
    approved = (await registered(node)).client.client_id
    for client_id in (pending, approved):
        with pytest.raises(TokenServiceError) as refused:
            await rotate(ADMIN, RotateRequest("r", client_id))
        assert refused.value.reason is Reason.CLIENT_STATE
    await node.bootstrap("shop")
    await switch(node, "shop")
    with pytest.raises(TokenServiceError) as refused:
        await rotate(ADMIN, RotateRequest("r", "shop"))
    assert refused.value.reason is Reason.CLIENT_DISABLED


@pytest.mark.parametrize("name", ["shop\0", "shop%00", "Shop", "s" * 65, " shop"])
async def test_what_cannot_be_a_clients_name_is_refused_without_a_store(
    node: Node, name: str
) -> None:
    secret = (await node.bootstrap("shop")).client_secret
    await node.database.close()
    assert not await node.recognises(name, secret)
    with pytest.raises(TokenServiceError) as refused:
        await node.usecases.clients.authenticate_caller(
            NOBODY, "", client_id=name, thumbprint=64 * "0"
        )
    assert refused.value.reason is Reason.CALLER_UNAUTHENTICATED


async def test_secrets_survive_a_pepper_and_move_to_the_new_one(node: Node) -> None:
    secret = (await node.bootstrap("shop")).client_secret
    assert await node.recognises("shop", secret)
    await new_pepper(node)
    assert await node.recognises("shop", secret)
    kept = (await node.client("shop")).secrets
    assert {one.pepper_id for one in kept} == {node.parts.secrets.active_pepper()}
    await new_pepper(node)
    assert await node.recognises("shop", secret)
    peppers = [key for key in await node.parts.keys.all() if key.purpose is KeyPurpose.PEPPER]
    assert len(peppers) == 3
