"""The doctor's judgements, each on facts as a store may tell them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.certificates import issue
from token_service.adapters.postgres.health import StoreHealth
from token_service.app.client_policies import PolicyTokens
from token_service.cli.doctor import configuration, keys, policies, postgres, redis, tls
from token_service.cli.doctor.checks import Check, Status, failed
from token_service.cli.doctor.postgres import Demands, PostgresFacts, TrustFacts
from token_service.cli.doctor.redis import RedisFacts
from token_service.cli.variables import OF_THE_COMMAND_LINE
from token_service.domain.keys.key import Key
from token_service.domain.keys.schedule import KeyScheduleSettings
from token_service.domain.kinds import KeyPurpose, KeyState

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SOUND = StoreHealth(
    version=180000,
    synchronous_commit="on",
    fsync="on",
    full_page_writes="on",
    is_primary=True,
    is_writable=True,
    synchronous_standby_names="ANY 1 (a, b)",
    synchronous=True,
    standbys=2,
)
NAMELESS = {"synchronous_standby_names": " ", "synchronous": False}
ALONE = {**NAMELESS, "standbys": 0}
LOCAL = {"synchronous_commit": "local", "synchronous": False}
REMOTE_WRITE = {"synchronous_commit": "remote_write", "synchronous": False}
NEON = {"fsync": "off", "synchronous_standby_names": "walproposer", "standbys": 0}
TRUST = TrustFacts("log", 10, 5, 10, 3)
REDIS = RedisFacts(version="9.1", latency=0.001, max_memory=2**28, eviction="allkeys-lru")


def judge(
    changes: dict[str, object] | None = None,
    demands: Demands = Demands(),  # noqa: B008 - never changed
    offset: float = 0.01,
) -> list[Check]:
    """What is said of a sound server with these changes."""
    said = replace(SOUND, **(changes or {}))  # type: ignore[arg-type]
    return postgres.judge(PostgresFacts(health=said, clock_offset=offset), demands)


def worst(checks: list[Check]) -> Status:
    order = list(Status)
    return max((check.status for check in checks), key=order.index)


def test_a_sound_server_is_sound() -> None:
    assert worst(judge()) is Status.OK
    assert postgres.judge_trust(TRUST).status is Status.OK
    assert worst(redis.judge(REDIS)) is Status.OK


@pytest.mark.parametrize(
    ("changes", "status", "named"),
    [
        ({"version": 140000}, Status.FAIL, "15"),
        ({"is_primary": False}, Status.FAIL, "primary"),
        ({"is_writable": False}, Status.FAIL, "default_transaction_read_only"),
        ({"fsync": "off"}, Status.FAIL, "fsync"),
        ({"synchronous_commit": "off", "synchronous": False}, Status.FAIL, "synchronous_commit"),
        ({"full_page_writes": "off"}, Status.FAIL, "full_page_writes"),
        ({"synchronous_commit": "remote_apply"}, Status.OK, ""),
        (NAMELESS, Status.WARN, "synchronous_standby_names"),
        (LOCAL, Status.WARN, "synchronous_commit"),
        (REMOTE_WRITE, Status.WARN, "synchronous_commit"),
        (ALONE, Status.OK, ""),
        ({"standbys": 0}, Status.WARN, "commits wait for it"),
    ],
)
def test_what_is_wrong_with_postgres(
    changes: dict[str, object], status: Status, named: str
) -> None:
    checks = judge(changes)
    assert worst(checks) is status
    assert named in " ".join(check.advice for check in checks)


@pytest.mark.parametrize("changes", [NAMELESS, LOCAL, REMOTE_WRITE, ALONE])
def test_replication_that_has_to_be_synchronous_and_is_not(changes: dict[str, object]) -> None:
    checks = judge(changes, Demands(synchronous=True))
    assert worst(checks) is Status.FAIL
    (found,) = (check for check in checks if check.status is Status.FAIL)
    assert "TOKEN_SERVICE_POSTGRES_SYNCHRONOUS" in found.detail


def test_the_clocks_are_compared() -> None:
    checks = judge(offset=-3.0)
    assert worst(checks) is Status.WARN
    assert "NTP" in " ".join(check.advice for check in checks)


@pytest.mark.parametrize(
    ("changes", "managed_by", "status"),
    [
        (NEON, "neon", Status.WARN),
        (NEON, None, Status.FAIL),
        ({**NEON, "full_page_writes": "off"}, "neon", Status.FAIL),
        ({**NEON, "synchronous": False, "synchronous_commit": "local"}, "neon", Status.FAIL),
        ({"fsync": "off"}, "neon", Status.FAIL),
    ],
)
def test_a_managed_service_makes_up_for_what_it_is_known_for(
    changes: dict[str, object], managed_by: str | None, status: Status
) -> None:
    checks = judge(changes, Demands(managed_by=managed_by))
    assert worst(checks) is status


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        (None, Status.FAIL),
        (replace(TRUST, newest_entry=11), Status.FAIL),
        (replace(TRUST, valid_rev=11), Status.FAIL),
        (replace(TRUST, newest_entry=None, entries=0), Status.OK),
        (replace(TRUST, entries=postgres.MANY_ENTRIES + 1), Status.WARN),
    ],
)
def test_what_is_wrong_with_the_trust_log(facts: TrustFacts | None, status: Status) -> None:
    assert postgres.judge_trust(facts).status is status


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"latency": 0.02}, Status.WARN),
        ({"latency": 0.06}, Status.FAIL),
        ({"eviction": "noeviction"}, Status.WARN),
        ({"max_memory": 0}, Status.WARN),
        ({"eviction": ""}, Status.WARN),
        ({"denied": ("EVAL",)}, Status.FAIL),
        ({"servers": 3}, Status.OK),
        ({"servers": 3, "silent": 1}, Status.WARN),
    ],
)
def test_what_is_wrong_with_redis(changes: dict[str, object], status: Status) -> None:
    assert worst(redis.judge(replace(REDIS, **changes))) is status  # type: ignore[arg-type]


def key(purpose: KeyPurpose, state: KeyState, age: timedelta) -> Key:
    signing = purpose is KeyPurpose.SIGNING
    return Key(
        kid=f"{purpose}{state}",
        purpose=purpose,
        algorithm="EdDSA" if signing else "HS256",
        state=state,
        secret_key_id="k1",
        public_key=b"",
        sealed_private=b"",
        created_at=NOW - age,
        activates_at=NOW - age,
    )


PURPOSES = [purpose for purpose in KeyPurpose if purpose is not KeyPurpose.UNSPECIFIED]


def test_every_purpose_needs_a_key_in_use() -> None:
    schedule = KeyScheduleSettings()
    day = timedelta(days=1)
    everything = [key(purpose, KeyState.ACTIVE, day) for purpose in PURPOSES]
    checks = keys.judge(everything, NOW, schedule)
    assert [check.status for check in checks] == [Status.OK] * len(PURPOSES)
    retiring = [key(KeyPurpose.SIGNING, KeyState.RETIRING, day), *everything[1:]]
    assert failed(keys.judge(retiring, NOW, schedule))
    # A server makes the key of an algorithm that was only just configured, and starts.
    wider = KeyScheduleSettings(algorithms=("EdDSA", "ES256"))
    assert worst(keys.judge(everything, NOW, wider)) is Status.WARN
    [none_yet] = keys.judge([], NOW, schedule)
    assert none_yet.status is Status.WARN


def test_a_key_that_should_have_been_rotated_is_noticed() -> None:
    schedule = KeyScheduleSettings()
    old = [key(purpose, KeyState.ACTIVE, timedelta(days=32)) for purpose in PURPOSES]
    statuses = {check.name: check.status for check in keys.judge(old, NOW, schedule)}
    assert statuses["key signing EdDSA"] is Status.WARN
    assert statuses["key pepper"] is Status.OK


def test_certificates_are_looked_at_before_they_end(tmp_path: Path) -> None:
    issued = issue("server")
    path = tmp_path / "cert.pem"
    path.write_bytes(issued.certificate)
    ends = issued.ends

    def status(now: datetime) -> Status:
        return tls.check_certificates("certificate", path, now).status

    assert status(ends - timedelta(days=30)) is Status.FAIL  # not valid yet
    assert status(ends - timedelta(minutes=30)) is Status.WARN
    assert status(ends) is Status.FAIL
    path.write_text("nothing")
    assert status(ends) is Status.FAIL
    path.unlink()
    assert status(ends) is Status.FAIL


def test_the_key_must_be_the_certificates_and_nobody_elses(tmp_path: Path) -> None:
    issued = issue("server")
    certificate, path = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(issued.certificate)
    path.write_bytes(issued.key)

    def status() -> Status:
        return tls.check_key("key", certificate, path).status

    path.chmod(0o600)
    assert status() is Status.OK
    path.chmod(0o644)
    assert status() is Status.WARN
    path.write_bytes(issue("other").key)
    assert status() is Status.FAIL
    path.write_text("nothing")
    assert status() is Status.FAIL


def test_settings_are_named_where_they_are_unusable_misspelt_or_open(tmp_path: Path) -> None:
    checks, settings = configuration.check({"TOKEN_SERVICE_ISSUER": "x"})
    assert settings is None
    assert failed(checks)
    assert "TOKEN_SERVICE_POSTGRES_DSN" in " ".join(check.detail for check in checks)

    secret = tmp_path / "dsn"
    secret.write_text("postgres://user@localhost/name")
    secret.chmod(0o644)
    checks, settings = configuration.check(
        {
            "TOKEN_SERVICE_ISSUER": "x",
            "TOKEN_SERVICE_POSTGRES_DSN_FILE": str(secret),
            "TOKEN_SERVICE_SECRET_KEYS": "k1:" + "A" * 43,
            "TOKEN_SERVICE_GRPC_LISTN": "here",
            **dict.fromkeys(OF_THE_COMMAND_LINE, "the command line's own"),
        }
    )
    assert settings is not None
    assert not failed(checks)
    details = " ".join(check.detail for check in checks if check.status is Status.WARN)
    assert "TOKEN_SERVICE_GRPC_LISTN" in details
    assert [name for name in OF_THE_COMMAND_LINE if name in details] == []
    assert str(secret) in details


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (PolicyTokens("shop", 2_400, False), Status.OK),
        (PolicyTokens("shop", 4_400, True), Status.WARN),
        (PolicyTokens("phone", 4_400, False), Status.OK),
        (PolicyTokens("shop", 8_400, True), Status.WARN),
        (PolicyTokens("shop", 0, False), Status.WARN),
    ],
)
def test_policies_whose_tokens_cannot_be_made_or_kept_are_named(
    client: PolicyTokens, status: Status
) -> None:
    [check] = policies.judge([client, PolicyTokens("other", 100, False)])
    assert check.status is status
    if status is Status.WARN:
        assert client.client_id in check.name
        assert str(client.longest or "no key") in check.detail
