"""What can be set, with its default and its bounds.

Every setting is a variable `TOKEN_SERVICE_<NAME>`; a secret may also come from the file that
`TOKEN_SERVICE_<NAME>_FILE` names.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from token_service.config import checks, values
from tokenservice.core.limits import MAX_ISSUER_LENGTH

PREFIX = "TOKEN_SERVICE_"

MOST_HASHING_THREADS = 8
"""Unless more are asked for: each takes 19 MiB while it hashes."""

_HOUR = timedelta(hours=1)


def _setting(group: str, description: str, default: Any = ..., **bounds: Any) -> Any:  # noqa: ANN401
    return Field(default, description=description, json_schema_extra={"group": group}, **bounds)


class Settings(BaseModel):
    """All settings of one server. Durations are a number of seconds, or `500ms`, `30s`, `5m`,
    `12h`, `30d`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    postgres_dsn: SecretStr = _setting(
        "Stores", "PostgreSQL, as `postgresql://user:password@host/database`. Required."
    )
    postgres_pool_size: values.Connections = _setting(
        "Stores", "Connections for all but Validate.", 10
    )
    postgres_validate_pool_size: values.Connections = _setting(
        "Stores", "Connections kept for what Validate does not find in memory.", 4
    )
    postgres_timeout: values.Duration = _setting(
        "Stores", "Longest wait for PostgreSQL in one call.", timedelta(seconds=2), le=_HOUR
    )
    redis_url: SecretStr | None = _setting(
        "Stores",
        "Redis or Valkey, as `redis://`, `rediss://`, `unix://`, `redis+cluster://` or "
        "`redis+sentinel://`. Without one no pairing can be started, and everything else works, "
        "slower.",
        None,
    )
    redis_connections: values.Connections = _setting("Stores", "Connections to Redis.", 16)
    redis_timeout: values.Duration = _setting(
        "Stores",
        "Longest wait for Redis before PostgreSQL is asked; at most 50 ms.",
        timedelta(milliseconds=50),
        le=timedelta(milliseconds=50),
    )
    allow_unsafe_durability: bool = _setting(
        "Stores",
        "Start although PostgreSQL may lose what it acknowledged (`fsync` or "
        "`synchronous_commit` off). For tests alone.",
        False,
    )

    secret_keys: SecretStr = _setting(
        "Keys",
        "Secrets from which keys are derived, as `id:base64url` of at least 32 random bytes, the "
        "newest first, separated by commas or lines. Required.",
    )
    signing_algorithms: values.Algorithms = _setting(
        "Keys",
        "Algorithms that always have a key (EdDSA, ES256, RS256, PS256, HS256), separated by "
        "commas. The first signs where a client's policy does not say.",
        ("EdDSA",),
        min_length=1,
    )
    key_rotation_period: values.Duration = _setting(
        "Keys", "How long a key makes tokens.", timedelta(days=30)
    )
    pepper_rotation_period: values.Duration = _setting(
        "Keys", "How long secrets are hashed under one pepper.", timedelta(days=365)
    )
    key_publish_lead: values.Duration = _setting(
        "Keys",
        "How long before its first token a key is published; at least twice the staleness limit.",
        timedelta(minutes=1),
    )

    issuer: str = _setting(
        "Tokens",
        "The `iss` claim of all tokens, such as `https://auth.example.com`. Required.",
        min_length=1,
        max_length=MAX_ISSUER_LENGTH,
        pattern=r"^[!-~]+$",
    )
    staleness_limit: values.Duration = _setting(
        "Tokens",
        "Oldest view of the trust log that a verdict may be given from; 1 s to 60 s.",
        timedelta(seconds=5),
        ge=timedelta(seconds=1),
        le=timedelta(minutes=1),
    )
    heartbeat: values.Duration = _setting(
        "Tokens",
        "Longest silence of the trust feed; less than half of the staleness limit.",
        timedelta(seconds=2),
    )
    activity_interval: values.Duration = _setting(
        "Tokens",
        "Activity of a session is written at most once in this time, or in a quarter of its idle "
        "lifetime where that is shorter.",
        timedelta(minutes=1),
        ge=timedelta(seconds=1),
    )

    qr_uri_prefix: str = _setting(
        "Tokens",
        "What the QR codes of pairings begin with, such as `https://auth.example.com/pair/`; "
        "the direction, a slash and the code follow.",
        "tokenservice:pair/",
        min_length=1,
        max_length=256,
        pattern=r"^[!-~]+$",
    )

    argon2_memory_kib: int = _setting(
        "Passwords",
        "Memory of one Argon2id hash in KiB; at least 19456.",
        19_456,
        ge=19_456,
        le=4_194_304,
    )
    argon2_passes: int = _setting("Passwords", "Passes of Argon2id; at least 2.", 2, ge=2, le=1_000)
    argon2_lanes: int = _setting("Passwords", "Lanes of Argon2id.", 1, ge=1, le=255)
    argon2_threads: int = _setting(
        "Passwords",
        "Passwords hashed at the same time; divided among the workers, at least one for each. "
        "0 stands for half of the processors that the process may use, and 8 at the most.",
        0,
        ge=0,
        le=1_024,
    )
    argon2_queue: int = _setting(
        "Passwords",
        "Passwords that may wait to be hashed, divided likewise; more are refused.",
        64,
        ge=0,
        le=1_000_000,
    )
    login_attempts_per_account_and_address: values.Count = _setting(
        "Passwords", "Failed logins of one account from one address before a lock.", 10
    )
    login_attempts_per_account: values.Count = _setting(
        "Passwords", "Failed logins of one account from anywhere before a lock.", 100
    )
    login_attempts_per_address: values.Count = _setting(
        "Passwords", "Failed logins from one address before a lock.", 300
    )
    login_window: values.Duration = _setting(
        "Passwords", "Time in which failed logins are counted.", timedelta(minutes=15)
    )
    login_lock: values.Duration = _setting(
        "Passwords", "How long a lock lasts.", timedelta(minutes=5)
    )

    codes_per_recipient: values.Count = _setting(
        "Codes", "Codes that one client may issue for one recipient within the window.", 10
    )
    codes_per_caller: values.Count = _setting(
        "Codes", "Codes that one client may issue within the window.", 30_000
    )
    codes_window: values.Duration = _setting(
        "Codes", "Time in which issued codes are counted.", timedelta(minutes=10)
    )

    grpc_listen: values.ListenAddress = _setting(
        "Server",
        "Where to listen: `host:port` (port 0 for any free one) or `unix:/path`.",
        "127.0.0.1:50051",
    )
    workers: int = _setting(
        "Server",
        "Processes that serve on that address, as a rule one for each core. Limits and pools are "
        "each one's own.",
        1,
        ge=1,
        le=256,
    )
    tls_cert: Path | None = _setting("Server", "File with the certificate chain, PEM.", None)
    tls_key: Path | None = _setting("Server", "File with the certificate's key, PEM.", None)
    tls_client_ca: Path | None = _setting(
        "Server",
        "File with the authorities, PEM, of client certificates; with it every caller must "
        "present one.",
        None,
    )
    allow_plaintext: bool = _setting(
        "Server", "Serve other machines without TLS. Tokens and passwords are then readable.", False
    )
    reflection: bool = _setting("Server", "Offer gRPC server reflection.", False)
    open_registration: bool = _setting(
        "Server", "Let anybody register clients and collect credentials, limited by address.", False
    )
    grace_period: values.Wait = _setting(
        "Server",
        "How long calls in flight may go on after a stop was asked for.",
        timedelta(seconds=20),
    )
    drain_delay: values.Wait = _setting(
        "Server",
        "How long a stopping server goes on telling that it is not serving, before it closes "
        "its connections.",
        timedelta(milliseconds=500),
    )
    max_connection_age: values.Duration = _setting(
        "Server",
        "After this time a connection is ended gently, so that load spreads anew.",
        timedelta(minutes=10),
        ge=timedelta(seconds=1),
        le=timedelta(milliseconds=values.MOST),
    )
    metrics_listen: values.HostPort | None = _setting(
        "Server", "Where to serve metrics and probes over plain HTTP, as `host:port`.", None
    )

    max_unary_calls: values.Count = _setting(
        "Limits",
        "Calls in flight, streams apart. One caller gets at most three quarters of this, and of "
        "each of the next three.",
        1_000,
    )
    max_streams: values.Count = _setting("Limits", "Streams at the same time.", 1_000)
    max_pairing_watches: values.Count = _setting(
        "Limits", "Streams of pairings at the same time.", 5_000
    )
    max_password_calls: values.Count = _setting(
        "Limits",
        "Calls with a password in flight; at most as many as are hashed and may wait for it.",
        64,
    )
    max_connections: values.Count = _setting(
        "Limits",
        "Connections at the same time, as far as the limit of open files allows; more are closed "
        "at once.",
        4_000,
    )
    max_connections_per_address: values.Count = _setting(
        "Limits",
        "Connections from one address (an IPv6 /64) at the same time; the newest of more are "
        "closed. What stands in front of the service is one address.",
        1_000,
    )
    max_connection_streams: values.Count = _setting(
        "Limits", "Calls in flight on one connection.", 1_000
    )
    rate_scale: float = _setting(
        "Limits",
        "Multiplies the calls per second that each client may make.",
        1.0,
        gt=0,
        le=1_000_000,
    )

    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "Logs", "Least severe level that is written.", "info"
    )
    log_format: Literal["json", "console"] = _setting(
        "Logs", "`json` for machines, `console` for people.", "json"
    )

    environment: Literal["production", "development", "test"] = _setting(
        "Surroundings", "What this server is for.", "production"
    )
    data_dir: Path = _setting(
        "Surroundings", "Data of the development server's own stores.", Path("var/dev")
    )

    @property
    def hashing_threads(self) -> int:
        """`argon2_threads` as a number of threads: at least one."""
        return self.argon2_threads or min(max(1, checks.processors() // 2), MOST_HASHING_THREADS)

    @property
    def password_places(self) -> int:
        """`max_password_calls`, but no more than are hashed and may wait for it: so whoever has its
        share of them leaves a place in that queue, too."""
        return min(self.max_password_calls, self.hashing_threads + self.argon2_queue)

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.tls_cert is not None

    @property
    def plaintext_beyond_this_machine(self) -> bool:
        """Whether the server speaks to other machines unencrypted; worth a loud line in the log."""
        return not self.tls and not checks.is_private_address(self.grpc_listen)
