"""What the doctor accepts of the settings, a server starts with, and the reverse."""

import os
from collections.abc import Mapping
from datetime import timedelta

import pytest

from tests.support.fixtures import StartServer
from tests.support.world import World
from token_service.cli.doctor import configuration
from token_service.cli.doctor.checks import Status
from token_service.cli.local.deployment import server_settings
from token_service.cli.problems import CliError
from token_service.config import Settings
from token_service.config.checks import LONGEST
from token_service.config.values import MOST

LARGEST = {
    "issuer": "i" * 255,
    "postgres_pool_size": "10000",
    "postgres_validate_pool_size": "10000",
    "postgres_timeout": "1h",
    "redis_connections": "10000",
    "key_rotation_period": f"{LONGEST.days}d",
    "pepper_rotation_period": f"{LONGEST.days}d",
    "key_publish_lead": "36000d",
    "staleness_limit": "60s",
    "heartbeat": "29s",
    "activity_interval": f"{LONGEST.days}d",
    "qr_uri_prefix": "q" * 256,
    "argon2_lanes": "255",
    "argon2_threads": "1024",
    "argon2_queue": "1000000",
    "login_attempts_per_account_and_address": str(MOST),
    "login_attempts_per_account": str(MOST),
    "login_attempts_per_address": str(MOST),
    "login_window": f"{LONGEST.days}d",
    "login_lock": f"{LONGEST.days}d",
    "codes_per_recipient": str(MOST),
    "codes_per_caller": str(MOST),
    "codes_window": f"{LONGEST.days}d",
    "grace_period": f"{LONGEST.days}d",
    "max_connection_age": f"{MOST // 1000}s",
    "max_unary_calls": str(MOST),
    "max_streams": str(MOST),
    "max_pairing_watches": str(MOST),
    "max_password_calls": str(MOST),
    "max_connection_streams": str(MOST),
    "rate_scale": "1000000",
    "metrics_listen": "127.0.0.1:0",
}
"""With each at its upper bound."""

SMALLEST = {
    "issuer": "i",
    "postgres_pool_size": "1",
    "postgres_validate_pool_size": "1",
    "redis_connections": "1",
    "staleness_limit": "1s",
    "heartbeat": "100ms",
    "key_publish_lead": "2s",
    "key_rotation_period": "2001ms",
    "activity_interval": "1s",
    "argon2_threads": "1",
    "argon2_queue": "0",
    "login_attempts_per_account_and_address": "1",
    "login_attempts_per_account": "1",
    "login_attempts_per_address": "1",
    "login_window": "1ms",
    "login_lock": "1ms",
    "codes_per_recipient": "1",
    "codes_per_caller": "1",
    "grace_period": "0",
    "drain_delay": "0",
    "max_connection_age": "1s",
    "max_unary_calls": "1",
    "max_streams": "1",
    "max_pairing_watches": "1",
    "max_password_calls": "1",
    "max_connection_streams": "1",
    "rate_scale": "0.001",
    "metrics_listen": "[::1]:0",
}

BEYOND: dict[object, str] = {int: str(2**63), timedelta: "999999999d", float: "1e300"}

REFUSED = [
    ("issuer", "i" * 256),
    ("issuer", "two words"),
    ("qr_uri_prefix", "q" * 257),
    ("metrics_listen", "unix:/run/metrics.sock"),
    ("metrics_listen", "999.1.1.1:9090"),
    ("grpc_listen", "[12:34]:50051"),
    ("grpc_listen", "256.0.0.1:50051"),
    ("grpc_listen", "unix:/"),
    ("redis_url", "redis://host:port"),
    ("redis_url", "redis+sentinel://host"),
    ("redis_url", "redis+sentinel://host:x/service"),
    ("redis_url", "redis+cluster://host:70000"),
    ("postgres_dsn", "postgresql://user@host:port/database"),
    ("postgres_dsn", "postgresql://user@one:5432,two:0/database"),
    ("postgres_dsn", "postgresql://user@[::1/database"),
    ("argon2_lanes", "256"),
    ("argon2_memory_kib", "4294967296"),
    ("rate_scale", "inf"),
    ("rate_scale", "nan"),
    *((name, str(int(largest) + 1)) for name, largest in LARGEST.items() if largest.isdecimal()),
    # Whatever is added later has a bound, too.
    *(
        (name, BEYOND[field.annotation])
        for name, field in Settings.model_fields.items()
        if field.annotation in BEYOND
    ),
]


def refusals(environment: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What the doctor says is unusable, and for what a server does not start."""
    checks, _ = configuration.check(environment)
    by_doctor = [check.detail for check in checks if check.status is Status.FAIL]
    try:
        server_settings(environment)
    except CliError as error:
        return by_doctor, str(error).splitlines()[1:]
    return by_doctor, []


@pytest.mark.parametrize(("name", "text"), REFUSED)
def test_both_refuse_for_the_same_reason(seeded: World, name: str, text: str) -> None:
    by_doctor, by_server = refusals(seeded.environment(**{name: text}))
    assert by_doctor == by_server
    assert len(by_server) == 1
    assert by_server[0].startswith(f"TOKEN_SERVICE_{name.upper()}: ")


@pytest.mark.parametrize("settings", [LARGEST, SMALLEST], ids=["largest", "smallest"])
def test_a_server_starts_with_what_both_accept(
    world: World, start_server: StartServer, settings: dict[str, str]
) -> None:
    if settings is SMALLEST and not os.path.exists("/proc/net/if_inet6"):  # noqa: PTH110
        settings = {**settings, "metrics_listen": "127.0.0.1:0"}
    assert refusals(world.environment(**settings)) == ([], [])
    server = start_server(**settings)
    assert server.address
    assert server.terminate() == 0
