"""Attacks leave a trace: bounded rows in the audit log that say who tried what, and no secret."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.api import basic
from tests.support.node import ADMIN, APP, NOBODY, PASSWORD, Node, started
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission
from token_service.domain.users.user import User
from token_service.usecases.clients.administration import Review
from token_service.usecases.clients.credentials import CollectRequest
from token_service.usecases.clients.registration import Registration
from token_service.usecases.login.passwords import PasswordCredential, PasswordLimits
from token_service.usecases.login.verifiers import LoginAttempt
from token_service.usecases.refusals import MOST_NOTED, WINDOW
from token_service.usecases.users.administration import NewUser, UserAdministration

GATEWAY = Caller("gateway", APP, request_id="r9", address="192.0.2.9")
LIMITS = PasswordLimits()
WRONG = "hunter2-canary"


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as running:
        yield running


@pytest.fixture
async def alice(node: Node) -> User:
    roles = node.usecases.users.roles
    await roles.define(ADMIN, "sales", ("orders.read", "orders.write"), "")
    create = node.usecases.users.create
    return await create(ADMIN, NewUser("Alice", PASSWORD, ("sales",)))


@pytest.fixture
def users(node: Node) -> UserAdministration:
    return node.usecases.users.administration


async def rows(node: Node, action: str) -> list[dict[str, str]]:
    found = await node.database.fetch(
        "SELECT actor, target, subject, outcome, request_id, address, details"
        " FROM audit_log WHERE action = $1 ORDER BY id",
        action,
    )
    return [dict(row) for row in found]


def counts(details: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in details.split(" "))


async def attempt(
    node: Node, username: str = "alice", password: str = WRONG, address: str = "", otp: str = ""
) -> TokenServiceError:
    credential = PasswordCredential(username, password, otp)
    with pytest.raises(TokenServiceError) as caught:
        await node.verify(credential, LoginAttempt(GATEWAY, address))
    return caught.value


async def test_wrong_passwords_leave_the_first_and_the_lock(node: Node, alice: User) -> None:
    errors = [await attempt(node, address="203.0.113.7") for _ in range(LIMITS.pair + 5)]
    assert errors[-1].reason is Reason.ACCOUNT_LOCKED
    first, lock = await rows(node, "user.authenticate")
    account = counts(first["details"])["account"]
    assert first == {
        "actor": "gateway",
        "target": str(alice.user_id),
        "subject": str(alice.user_id),
        "outcome": "credentials_invalid",
        "request_id": "r9",
        "address": "192.0.2.9",
        "details": f"reported=203.0.113.7 account={account} cause=wrong_password"
        " from_address=1 of_account=1 of_address=1 of_caller=1",
    }
    until = node.clock.now() + LIMITS.lock
    assert lock["details"].endswith(
        " from_address=10 of_account=10 of_address=10 of_caller=10"
        f" full=from_address until={until:%FT%TZ}"
    )
    assert errors[-1].about == {"reported": "203.0.113.7", "account": account}


async def test_the_log_line_of_a_wrong_password_says_who(node: Node, alice: User) -> None:
    about = (await attempt(node, address="203.0.113.7")).about
    assert (about["subject"], about["reported"]) == (str(alice.user_id), "203.0.113.7")


async def test_every_tenth_where_the_limits_are_wider(node: Node, alice: User) -> None:
    node = node.under(login_attempts_per_account_and_address=35)
    for _ in range(36):
        await attempt(node)
    noted = [counts(row["details"]) for row in await rows(node, "user.authenticate")]
    assert [row["from_address"] for row in noted] == ["1", "10", "20", "30", "35"]
    assert ["full" in row for row in noted] == [False] * 4 + [True]
    assert {row["cause"] for row in noted} == {"wrong_password"}


@pytest.mark.slow
async def test_64_attackers_leave_no_more_rows_than_the_limits_allow(
    node: Node, alice: User
) -> None:
    """Each from an address of its own, and however often: as many failures are counted as the
    account has; each attacker's first may leave a row, each tenth and each lock."""
    attackers, tries = 64, 40

    async def attack(number: int) -> None:
        for _ in range(tries):
            await attempt(node, address=f"203.0.113.{number}")

    await asyncio.gather(*(attack(number) for number in range(attackers)))
    noted = [counts(row["details"]) for row in await rows(node, "user.authenticate")]
    assert len(noted) <= attackers + LIMITS.account // 10 + 1
    assert sum("full" in row for row in noted) >= 1
    assert max(int(row["of_account"]) for row in noted) == LIMITS.account
    row = await node.database.fetchrow("SELECT sum(failures) FROM attempts")
    assert row is not None
    assert row[0] <= 4 * LIMITS.account


async def test_whoever_types_the_password_as_the_name_is_not_quoted(
    node: Node, alice: User
) -> None:
    about = (await attempt(node, username=WRONG, password="x" * 8)).about
    assert about["subject"] == "unknown"
    (row,) = await rows(node, "user.authenticate")
    assert (row["target"], row["subject"]) == ("unknown", "")
    assert counts(row["details"])["cause"] == "unknown_user"
    assert counts(row["details"])["account"] == about["account"]
    (everything,) = await node.database.fetch("SELECT string_agg(a::text, ' ') FROM audit_log a")
    assert WRONG not in everything[0]
    assert WRONG not in str(about)


@pytest.mark.slow
async def test_names_that_nobody_has_leave_eleven_rows_however_many_they_are(node: Node) -> None:
    for number in range(120):
        await attempt(node, username=f"nobody{number}", address=f"2001:db8:0:{number:x}::1")
    noted = [counts(row["details"]) for row in await rows(node, "user.authenticate")]
    assert [row["of_caller"] for row in noted] == ["1", *map(str, range(10, 101, 10))]


@pytest.mark.slow
async def test_wrong_passwords_of_users_hide_no_names_that_nobody_has(
    node: Node, alice: User
) -> None:
    """A busy gateway has as many mistyped passwords in a quarter of an hour as are ever told of."""
    node = node.under(login_attempts_per_account_and_address=200, login_attempts_per_account=200)
    for _ in range(101):
        await attempt(node)
    for number in range(10):
        await attempt(node, username=f"nobody{number}")
    noted = [
        counts(row["details"])["of_caller"]
        for row in await rows(node, "user.authenticate")
        if row["target"] == "unknown"
    ]
    assert noted == ["1", "10"]


async def test_a_code_of_a_factor_that_nobody_has_is_wrong(node: Node, alice: User) -> None:
    right = await attempt(node, password=PASSWORD, otp="123456")
    wrong_password = await attempt(node, password=WRONG, otp="123456")
    assert right.reason is wrong_password.reason is Reason.CREDENTIALS_INVALID
    assert right.message == wrong_password.message == (await attempt(node)).message
    (row,) = await rows(node, "user.authenticate")
    assert counts(row["details"])["cause"] == "unexpected_otp_code"
    for _ in range(LIMITS.pair - 3):
        await attempt(node, password=PASSWORD, otp="123456")
    assert (await attempt(node, password=PASSWORD)).reason is Reason.ACCOUNT_LOCKED


async def test_show_tells_the_locks(node: Node, alice: User, users: UserAdministration) -> None:
    async def locks() -> tuple[object, ...]:
        found = (await users.get(ADMIN, alice.user_id)).locks
        named = (await users.get_by_name(ADMIN, "ALICE")).locks
        assert named == found
        return (
            found.failures,
            found.locked_until,
            found.locked_addresses,
            found.addresses_locked_until,
        )

    node = node.under(login_attempts_per_account_and_address=3, login_attempts_per_account=15)
    assert await locks() == (0, None, 0, None)
    for number in range(4):
        for _ in range(3):
            await attempt(node, address=f"203.0.113.{number}")
    until = node.clock.now() + LIMITS.lock
    assert await locks() == (12, None, 4, until)
    node.clock.move(timedelta(minutes=1))
    for _ in range(3):
        await attempt(node, address="203.0.113.99")
    later = node.clock.now() + LIMITS.lock
    assert await locks() == (15, later, 5, later)
    await users.unlock(ADMIN, alice.user_id, "")
    assert await locks() == (0, None, 0, None)


async def presents(node: Node, client_id: str, secret: str) -> None:
    stranger = replace(NOBODY, address="198.51.100.3")
    with pytest.raises(TokenServiceError) as caught:
        await node.usecases.clients.authenticate_caller(stranger, basic(client_id, secret))
    assert caught.value.reason is Reason.CALLER_UNAUTHENTICATED


async def test_wrong_client_secrets_leave_eleven_rows_in_a_window(node: Node) -> None:
    made = await node.bootstrap("shop")
    other = await node.bootstrap("bank")
    for number in range(MOST_NOTED + 50):
        secret = other.client_secret if number % 2 else made.client_secret + "x"
        await presents(node, made.client_id, secret)
    noted = await rows(node, "client.authenticate")
    assert len(noted) == 1 + MOST_NOTED // 10
    first, last = noted[0], noted[-1]
    assert (first["actor"], first["target"], first["address"]) == (
        "anonymous",
        "shop",
        "198.51.100.3",
    )
    assert first["outcome"] == "caller_unauthenticated"
    assert counts(first["details"]) == {"cause": "malformed_secret", "refusals": "1"}
    assert counts(last["details"])["cause"] == "wrong_secret"
    assert "full" in counts(last["details"])
    # Nothing is locked: the right secret works, and the next window is told of again.
    assert await node.recognises(made.client_id, made.client_secret)
    node.clock.move(WINDOW)
    await node.refresh()
    await presents(node, made.client_id, other.client_secret)
    assert len(await rows(node, "client.authenticate")) == 2 + MOST_NOTED // 10


async def test_a_client_that_nobody_has_is_not_quoted(node: Node) -> None:
    made = await node.bootstrap("shop")
    await presents(node, "my-secret-as-a-name", made.client_secret)
    (row,) = await rows(node, "client.authenticate")
    assert row["target"] == "unknown"
    assert "my-secret" not in str(row)


async def test_a_wrong_certificate_leaves_a_row(node: Node) -> None:
    await node.bootstrap("shop")
    with pytest.raises(TokenServiceError):
        await node.usecases.clients.authenticate_caller(
            NOBODY, "", client_id="shop", thumbprint=64 * "0"
        )
    (row,) = await rows(node, "client.authenticate")
    assert (row["target"], counts(row["details"])["cause"]) == ("shop", "wrong_certificate")


async def registered(node: Node, by: Caller) -> tuple[str, str]:
    register = node.usecases.clients.register
    policy = replace(APP, permissions=frozenset({Permission.ADMIN_KEYS}))
    made = await register(by, Registration("app", "app@example.test", policy))
    return made.client.client_id, made.registration_secret


async def test_refused_reviews_leave_rows(node: Node) -> None:
    client_id, _ = await registered(node, ADMIN)
    review = node.usecases.clients.review
    weak = replace(
        ADMIN,
        client_id="weak",
        policy=replace(ADMIN.policy, permissions=frozenset({Permission.ADMIN_CLIENTS})),
    )
    for caller in (ADMIN, weak, *[weak] * 9):
        with pytest.raises(TokenServiceError):
            await review(caller, Review(client_id, approve=True))
    own, first, tenth = await rows(node, "client.review")
    assert (own["actor"], own["outcome"], own["target"]) == ("root", "self_review", client_id)
    assert (first["actor"], first["outcome"]) == ("weak", "permission_missing")
    assert counts(tenth["details"])["refusals"] == "10"


async def test_wrong_registration_secrets_leave_rows(node: Node) -> None:
    client_id, _ = await registered(node, ADMIN)
    _, secret_of_another = await registered(node, ADMIN)
    collect = node.usecases.clients.collect
    for name, secret in (
        (client_id, secret_of_another),
        (client_id, "malformed"),
        ("nobody-has-this", secret_of_another),
    ):
        with pytest.raises(TokenServiceError) as caught:
            await collect(NOBODY, CollectRequest(name, secret, "request-1"))
        assert caught.value.reason is Reason.CREDENTIALS_INVALID
    noted = await rows(node, "client.collect")
    assert [row["target"] for row in noted] == [client_id, "unknown"]
    assert {row["outcome"] for row in noted} == {"credentials_invalid"}
