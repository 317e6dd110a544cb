"""What can be set, with its default and its bounds.

Every setting is a variable `TOKEN_SERVICE_<NAME>`; a secret may also come from the file that
`TOKEN_SERVICE_<NAME>_FILE` names.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from token_service.config.checks import (
    UnusableError,
    about,
    check_host_port,
    check_listen_address,
    check_postgres_dsn,
    check_redis_url,
    check_secret_keys,
    check_tls_files,
    is_private_address,
    parse_duration,
    processors,
    split_names,
)
from tokenservice.core.limits import MAX_ISSUER_LENGTH

PREFIX = "TOKEN_SERVICE_"

MOST_HASHING_THREADS = 8
"""Unless more are asked for: each takes 19 MiB while it hashes."""

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Algorithm = Literal["EdDSA", "ES256", "RS256", "PS256", "HS256"]

_NOTHING = timedelta(0)


def _setting(group: str, description: str, default: Any = ..., **bounds: Any) -> Any:  # noqa: ANN401
    return Field(default, description=description, json_schema_extra={"group": group}, **bounds)


class Settings(BaseModel):
    """All settings of one server. Durations are a number of seconds, or `500ms`, `30s`, `5m`,
    `12h`, `30d`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    postgres_dsn: SecretStr = _setting(
        "Stores", "PostgreSQL, as `postgresql://user:password@host/database`. Required."
    )
    postgres_pool_size: int = _setting("Stores", "Connections for all but Validate.", 10, ge=1)
    postgres_validate_pool_size: int = _setting(
        "Stores", "Connections kept for what Validate does not find in memory.", 4, ge=1
    )
    postgres_timeout: Duration = _setting(
        "Stores", "Longest wait for PostgreSQL in one call.", timedelta(seconds=2), gt=_NOTHING
    )
    redis_url: SecretStr | None = _setting(
        "Stores",
        "Redis or Valkey, as `redis://`, `rediss://`, `unix://`, `redis+cluster://` or "
        "`redis+sentinel://`. Without one no pairing can be started, and everything else works, "
        "slower.",
        None,
    )
    redis_connections: int = _setting("Stores", "Connections to Redis.", 16, ge=1)
    redis_timeout: Duration = _setting(
        "Stores",
        "Longest wait for Redis before PostgreSQL is asked; at most 50 ms.",
        timedelta(milliseconds=50),
        gt=_NOTHING,
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
    signing_algorithms: Annotated[tuple[Algorithm, ...], BeforeValidator(split_names)] = _setting(
        "Keys",
        "Algorithms that always have a key (EdDSA, ES256, RS256, PS256, HS256), separated by "
        "commas. The first signs where a client's policy does not say.",
        ("EdDSA",),
        min_length=1,
    )
    key_rotation_period: Duration = _setting(
        "Keys", "How long a key makes tokens.", timedelta(days=30), gt=_NOTHING
    )
    pepper_rotation_period: Duration = _setting(
        "Keys", "How long secrets are hashed under one pepper.", timedelta(days=365), gt=_NOTHING
    )
    key_publish_lead: Duration = _setting(
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
    staleness_limit: Duration = _setting(
        "Tokens",
        "Oldest view of the trust log that a verdict may be given from; 1 s to 60 s.",
        timedelta(seconds=5),
        ge=timedelta(seconds=1),
        le=timedelta(minutes=1),
    )
    heartbeat: Duration = _setting(
        "Tokens",
        "Longest silence of the trust feed; less than half of the staleness limit.",
        timedelta(seconds=2),
        gt=_NOTHING,
    )
    activity_interval: Duration = _setting(
        "Tokens",
        "Activity of a session is written at most once in this time.",
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
        "Passwords", "Memory of one Argon2id hash in KiB; at least 19456.", 19_456, ge=19_456
    )
    argon2_passes: int = _setting("Passwords", "Passes of Argon2id; at least 2.", 2, ge=2)
    argon2_lanes: int = _setting("Passwords", "Lanes of Argon2id.", 1, ge=1)
    argon2_threads: int = _setting(
        "Passwords",
        "Passwords hashed at the same time; divided among the workers, at least one for each. "
        "0 stands for half of the processors that the process may use, and 8 at the most.",
        0,
        ge=0,
    )
    argon2_queue: int = _setting(
        "Passwords",
        "Passwords that may wait to be hashed, divided likewise; more are refused.",
        64,
        ge=0,
    )
    login_attempts_per_account_and_address: int = _setting(
        "Passwords", "Failed logins of one account from one address before a lock.", 10, ge=1
    )
    login_attempts_per_account: int = _setting(
        "Passwords", "Failed logins of one account from anywhere before a lock.", 100, ge=1
    )
    login_attempts_per_address: int = _setting(
        "Passwords", "Failed logins from one address before a lock.", 300, ge=1
    )
    login_window: Duration = _setting(
        "Passwords", "Time in which failed logins are counted.", timedelta(minutes=15), gt=_NOTHING
    )
    login_lock: Duration = _setting(
        "Passwords", "How long a lock lasts.", timedelta(minutes=5), gt=_NOTHING
    )

    codes_per_recipient: int = _setting(
        "Codes", "Codes that one client may issue for one recipient within the window.", 10, ge=1
    )
    codes_per_caller: int = _setting(
        "Codes", "Codes that one client may issue within the window.", 30_000, ge=1
    )
    codes_window: Duration = _setting(
        "Codes", "Time in which issued codes are counted.", timedelta(minutes=10), gt=_NOTHING
    )

    grpc_listen: Annotated[str, BeforeValidator(check_listen_address)] = _setting(
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
    grace_period: Duration = _setting(
        "Server",
        "How long calls in flight may go on after a stop was asked for.",
        timedelta(seconds=20),
        ge=_NOTHING,
    )
    drain_delay: Duration = _setting(
        "Server",
        "How long a stopping server goes on telling that it is not serving, before it closes "
        "its connections.",
        timedelta(milliseconds=500),
        ge=_NOTHING,
    )
    max_connection_age: Duration = _setting(
        "Server",
        "After this time a connection is ended gently, so that load spreads anew.",
        timedelta(minutes=10),
        ge=timedelta(seconds=1),
    )
    metrics_listen: Annotated[str, BeforeValidator(check_host_port)] | None = _setting(
        "Server", "Where to serve metrics and probes over plain HTTP, as `host:port`.", None
    )

    max_unary_calls: int = _setting(
        "Limits",
        "Calls in flight, streams apart. One caller gets at most three quarters of this, and of "
        "each of the next three.",
        1_000,
        ge=1,
    )
    max_streams: int = _setting("Limits", "Streams at the same time.", 1_000, ge=1)
    max_pairing_watches: int = _setting(
        "Limits", "Streams of pairings at the same time.", 5_000, ge=1
    )
    max_password_calls: int = _setting(
        "Limits",
        "Calls with a password in flight; at most as many as are hashed and may wait for it.",
        64,
        ge=1,
    )
    max_connection_streams: int = _setting(
        "Limits", "Calls in flight on one connection.", 1_000, ge=1
    )
    rate_scale: float = _setting(
        "Limits", "Multiplies the calls per second that each client may make.", 1.0, gt=0
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

    @model_validator(mode="after")
    def _check_secrets(self) -> Self:
        with about("postgres_dsn"):
            check_postgres_dsn(self.postgres_dsn.get_secret_value())
        with about("secret_keys"):
            check_secret_keys(self.secret_keys.get_secret_value())
        if self.redis_url is not None:
            with about("redis_url"):
                check_redis_url(self.redis_url.get_secret_value())
        return self

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.heartbeat * 2 >= self.staleness_limit:
            raise UnusableError("heartbeat", "must be less than half of the staleness limit")
        if self.key_publish_lead < self.staleness_limit * 2:
            raise UnusableError("key_publish_lead", "must be at least twice the staleness limit")
        for name in ("key_rotation_period", "pepper_rotation_period"):
            if getattr(self, name) <= self.key_publish_lead:
                raise UnusableError(name, "must be longer than key_publish_lead")
        return self

    @model_validator(mode="after")
    def _check_transport(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            missing = "tls_cert" if self.tls_cert is None else "tls_key"
            raise UnusableError(missing, "certificate and key are needed together")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise UnusableError("tls_client_ca", "needs tls_cert and tls_key as well")
        if self.tls_cert is not None and self.tls_key is not None:
            with about("tls_cert"):
                check_tls_files(self.tls_cert, self.tls_key, self.tls_client_ca)
        elif not is_private_address(self.grpc_listen) and not self.allow_plaintext:
            raise UnusableError(
                "grpc_listen",
                "other machines are served with TLS alone: set TOKEN_SERVICE_TLS_CERT and "
                "TOKEN_SERVICE_TLS_KEY, or TOKEN_SERVICE_ALLOW_PLAINTEXT to go without",
            )
        return self

    @model_validator(mode="after")
    def _check_workers(self) -> Self:
        if self.workers > 1 and self.grpc_listen.startswith("unix:"):
            raise UnusableError(
                "workers", "only one process can serve on a unix: address; listen on host:port"
            )
        return self

    @property
    def hashing_threads(self) -> int:
        """`argon2_threads` as a number of threads: at least one."""
        return self.argon2_threads or min(max(1, processors() // 2), MOST_HASHING_THREADS)

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
        return not self.tls and not is_private_address(self.grpc_listen)
