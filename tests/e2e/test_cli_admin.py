"""Administration on the command line: clients, users, roles and keys, by real calls."""

import json

from tests.support.command_line import CommandLine
from tests.support.servers import ServerProcess
from tests.support.world import World

Served = tuple[World, ServerProcess]

SHOP = (
    "client",
    "register",
    *("--name", "Shop", "--contact", "shop@example.com"),
    *("--platform", "web", "--audience", "orders", "--scope", "orders.read"),
    *("--permission", "tokens.issue", "--permission", "tokens.exchange", "--password-login"),
)


def register(cli: CommandLine) -> tuple[str, str]:
    """Register a client as nobody in particular; its id and its registration secret."""
    registered = cli.json(*SHOP)
    assert registered["state"] == "CLIENT_STATE_PENDING"
    return registered["client_id"], registered["registration_secret"]


def test_a_client_is_registered_reviewed_collected_and_used(
    cli: CommandLine, served: Served
) -> None:
    client_id, secret = register(cli)
    pending = cli.json("client", "list", "--state", "pending")
    assert client_id in [client["client_id"] for client in pending]
    early = cli.run("client", "collect", client_id, "-", "--json", stdin=secret)
    assert early.code == 1
    assert "CLIENT_NOT_APPROVED" in early.err

    reviewed = cli.json("client", "review", client_id, "--approve", "--note", "known")
    assert reviewed["client"]["state"] == "CLIENT_STATE_APPROVED"
    assert reviewed["client"]["reviewed_by"] == "demo-admin"
    once = ("client", "collect", client_id, "-", "--request-id", "once")
    collected = cli.json(*once, stdin=secret)
    assert cli.json(*once, stdin=secret) == collected

    shop = cli.with_variables(
        server=served[1].address,
        client_id=client_id,
        client_secret=collected["client_secret"],
        password=served[0].password,
    )
    tokens = shop.json("token", "issue", "--user", "alice")["tokens"]
    assert tokens["access_tokens"][0]["scopes"] == ["orders.read"]
    again = cli.run("client", "collect", client_id, "-", stdin=secret)
    assert again.code == 1

    rotated = shop.json("client", "rotate", "--overlap", "0")
    assert shop.refused("client", "show") == "CALLER_UNAUTHENTICATED"
    renewed = shop.with_variables(client_secret=rotated["client_secret"])
    assert renewed.json("client", "show")["client_id"] == client_id

    cli.ok("client", "disable", client_id, "--note", "gone")
    assert renewed.refused("client", "show") == "CALLER_UNAUTHENTICATED"
    assert cli.json("client", "enable", client_id)["state"] == "CLIENT_STATE_ACTIVE"
    assert renewed.json("client", "show")["state"] == "CLIENT_STATE_ACTIVE"


def test_who_registered_a_client_does_not_review_it(cli: CommandLine) -> None:
    registered = cli.json(*SHOP, "--as", "demo-admin")
    review = ("client", "review", registered["client_id"])
    assert cli.refused(*review, "--approve") == "SELF_REVIEW"
    assert cli.run(*review).code == 2  # one must say which


def test_an_administrator_gives_a_client_its_id(cli: CommandLine) -> None:
    named = (*SHOP, "--id", "orders-shop")
    assert cli.refused(*named, "--as", "demo-web") == "PERMISSION_MISSING"
    assert cli.json(*named)["client_id"] == "orders-shop"
    assert cli.json("client", "show", "orders-shop")["registered_by"] == "demo-admin"
    assert cli.refused(*named) == "CLIENT_EXISTS"


def test_a_registration_is_rejected_for_good(cli: CommandLine) -> None:
    client_id, secret = register(cli)
    rejected = cli.json("client", "review", client_id, "--reject", "--note", "unknown")
    assert rejected["client"]["state"] == "CLIENT_STATE_REJECTED"
    assert cli.refused("client", "review", client_id, "--approve") == "CLIENT_STATE"
    assert cli.run("client", "collect", client_id, "-", stdin=secret).code == 1


def test_a_policy_is_printed_edited_and_put_back(cli: CommandLine) -> None:
    policy = json.loads(cli.ok("client", "policy", "demo-api"))
    policy["access_lifetime"] = "60s"
    path = cli.folder / "policy.json"
    path.write_text(json.dumps(policy))
    changed = cli.json("client", "policy", "demo-api", "--set", str(path), "--note", "shorter")
    assert changed["client"]["policy"]["access_lifetime"] == "60s"
    assert json.loads(cli.ok("client", "policy", "demo-api"))["access_lifetime"] == "60s"
    shown = cli.ok("client", "show", "demo-api")
    assert "policy.access_lifetime" in shown
    assert "1m" in shown
    path.write_text('{"surprise": 1}')
    assert cli.run("client", "policy", "demo-api", "--set", str(path)).code == 2


def test_a_policy_whose_tokens_no_cookie_holds_is_told_of(cli: CommandLine) -> None:
    policy = json.loads(cli.ok("client", "policy", "demo-rolling"))
    path = cli.folder / "large.json"
    large = [*policy["scopes"], *(f"{number:02d}".ljust(60, "s") for number in range(30))]
    path.write_text(json.dumps({**policy, "scopes": large}))
    put = cli.run("client", "policy", "demo-rolling", "--set", str(path))
    assert put.code == 0
    for ran in (put, cli.run("client", "policy", "demo-rolling")):
        assert "cookies of 4096 bytes" in ran.err
    path.write_text(json.dumps(policy))
    assert "cookies" not in cli.run("client", "policy", "demo-rolling", "--set", str(path)).err
    path.write_text(json.dumps({**policy, "signing_algorithm": "PS256"}))
    refused = cli.run("client", "policy", "demo-rolling", "--set", str(path))
    assert refused.code == 1
    assert "field policy.signing_algorithm" in refused.err


def test_a_client_that_does_not_exist_is_not_found(cli: CommandLine) -> None:
    ran = cli.run("client", "show", "nobody")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("CLIENT_NOT_FOUND: ")
    assert cli.run("client", "list", "--state", "asleep").code == 2


def test_the_callers_permissions_hold_on_the_command_line_too(cli: CommandLine) -> None:
    assert cli.refused("user", "list", "--as", "demo-web") == "PERMISSION_MISSING"


def test_a_user_lives_through_everything(cli: CommandLine) -> None:
    cli.ok("user", "role-define", "clerk", "orders.read", "--note", "new desk")
    roles = {role["role"]: role["scopes"] for role in cli.json("user", "role-list")}
    assert roles["clerk"] == ["orders.read"]
    create = ("user", "create", "bob", "--role", "clerk", "--password-file", "-")
    bob = cli.json(*create, stdin="first password\n")
    assert bob["roles"] == ["clerk"]
    assert cli.refused(*create, stdin="first password") == "USER_EXISTS"

    def login(password: str) -> str:
        ran = cli.with_variables(password=password).run("token", "issue", "--user", "bob")
        return "ok" if ran.code == 0 else ran.err.partition(":")[0]

    assert login("first password") == "ok"
    changed = cli.json("user", "password", "bob", stdin="second password")
    assert int(changed["revision"]) > 0
    assert (login("first password"), login("second password")) == ("CREDENTIALS_INVALID", "ok")

    cli.ok("user", "disable", bob["user_id"])
    assert login("second password") == "CREDENTIALS_INVALID"
    cli.ok("user", "enable", "bob")
    assert login("second password") == "ok"
    assert cli.json("user", "show", "bob")["login_attempts"]["failed"] == 2
    assert "login_attempts.failed" in cli.ok("user", "show", "bob")
    assert cli.json("user", "unlock", "bob")["state"] == "USER_STATE_ACTIVE"
    assert cli.json("user", "show", "bob")["login_attempts"]["failed"] == 0
    assert cli.json("user", "roles", "bob", "sales", "clerk")["user"]["roles"] == ["clerk", "sales"]
    assert cli.json("user", "roles", "bob")["user"]["roles"] == []
    assert cli.refused("user", "roles", "bob", "no-such-role") == "ROLE_NOT_FOUND"

    assert "bob" in cli.ok("user", "list")
    assert cli.run("user", "delete", "bob").code == 2  # nobody to ask
    cli.ok("user", "delete", "bob", "--yes")
    assert cli.refused("user", "show", "bob") == "USER_NOT_FOUND"


def test_a_short_password_names_its_field(cli: CommandLine) -> None:
    ran = cli.run("user", "create", "carol", "--password-file", "-", stdin="short")
    assert ran.code == 1
    assert ran.err.startswith("FIELD_INVALID")
    assert "field password" in ran.err


def test_keys_are_rotated_and_given_up(cli: CommandLine) -> None:
    [signer] = cli.json("keys", "list", "--purpose", "signing")
    new = cli.json("keys", "rotate", "signing", "--note", "drill")
    assert new["state"] == "KEY_STATE_PENDING"
    assert cli.refused("keys", "rotate", "signing") == "KEY_STATE"
    assert new["kid"] in cli.ok("keys", "list")

    assert cli.run("keys", "compromise", signer["kid"]).code == 2  # nobody to ask
    ended = cli.json("keys", "compromise", signer["kid"], "--yes", "--note", "drill")
    assert ended["key"]["state"] == "KEY_STATE_COMPROMISED"
    assert cli.refused("keys", "compromise", "0" * 16, "--yes") == "KEY_NOT_FOUND"
