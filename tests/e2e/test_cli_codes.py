"""One-time codes on the command line, by real calls."""

import base64
from datetime import UTC, datetime, timedelta

from tests.support.command_line import CommandLine

COUPON = ("code", "issue", "--purpose", "sale", "--kind", "coupon")
REDEEM = ("code", "redeem", "--purpose", "sale", "-")


def test_a_coupon_is_issued_redeemed_looked_at_and_revoked(cli: CommandLine) -> None:
    wish = ("--max-uses", "2", "--ttl", "7d", "--payload", '{"percent": 20}', "--request-id", "i1")
    issued = cli.json(*COUPON, *wish)
    assert cli.json(*COUPON, *wish) == issued
    code, code_id = issued["code"], issued["code_id"]

    once = ("--redeemer", "user-1", "--request-id", "r1", "--json")
    ran = cli.run(*REDEEM, *once, stdin=f"{code.lower()}\n")
    assert (ran.code, ran.err) == (0, "request id r1 (repeat with --request-id)\n")
    redeemed = cli.json(*REDEEM, "--redeemer", "user-1", "--request-id", "r1", stdin=code)
    assert (redeemed["replayed"], redeemed["uses_left"]) == (True, 1)
    assert base64.b64decode(redeemed["payload"]) == b'{"percent": 20}'
    shown = cli.ok(*REDEEM, stdin=code)
    assert '{"percent": 20}' in shown
    assert cli.refused(*REDEEM, stdin=code) == "CODE_USED_UP"

    record = cli.ok("code", "get", code_id)
    assert "coupon" in record
    assert code not in record
    assert "percent" not in record
    revoked = cli.json("code", "revoke", code_id, "--note", "over")
    assert (revoked["uses"], revoked["max_uses"]) == (2, 2)
    assert revoked["revoked_at"]
    assert cli.refused(*REDEEM, stdin=code) == "CODE_REVOKED"


def test_a_verification_code_is_its_recipients(cli: CommandLine) -> None:
    issue = ("code", "issue", "--purpose", "mail", "--kind", "verification")
    issued = cli.json(*issue, "--recipient", "ana@example.com", "--length", "8")
    assert len(issued["code"]) == 8
    redeem = ("code", "redeem", "--purpose", "mail", "-")
    assert cli.refused(*redeem, stdin=issued["code"]) == "CODE_UNKNOWN"
    mine = (*redeem, "--recipient", "Ana@example.com")
    assert cli.json(*mine, stdin=issued["code"])["code_id"] == issued["code_id"]
    no_recipient = cli.run(*issue)
    assert no_recipient.code == 1
    assert "field recipient" in no_recipient.err


def test_a_code_comes_from_a_file_or_a_variable_and_never_as_an_argument(cli: CommandLine) -> None:
    issued = cli.json(*COUPON, "--length", "20", "--alphabet", "abcdefgh", "--max-uses", "3")
    path = cli.folder / "code"
    path.write_text(issued["code"])
    redeem = ("code", "redeem", "--purpose", "sale")
    assert cli.json(*redeem, str(path))["uses_left"] == 2
    beside = cli.with_variables(code=issued["code"])
    assert beside.json(*redeem)["uses_left"] == 1
    seen = cli.run(*redeem, issued["code"])
    assert seen.code == 2
    assert issued["code"] not in seen.err + seen.out
    assert "stdin" in seen.err


def test_times_and_ids_that_are_none_are_refused(cli: CommandLine) -> None:
    assert cli.run(*COUPON, "--not-before", "tomorrow").code == 2
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    early = cli.json(*COUPON, "--ttl", "1d", "--not-before", start.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert datetime.fromisoformat(early["expires_at"]) == start + timedelta(days=1)


def test_a_code_that_does_not_exist_is_unknown(cli: CommandLine) -> None:
    nobody = "0b5c1a52-3c6b-4f4e-8c0e-8f6d5d1f9a11"
    assert cli.refused("code", "get", nobody) == "CODE_UNKNOWN"
    assert cli.refused("code", "revoke", nobody) == "CODE_UNKNOWN"
    assert cli.refused("code", "get", "not-an-id") == "FIELD_INVALID"
    assert cli.refused("code", "get", nobody, "--as", "demo-web") == "PERMISSION_MISSING"
