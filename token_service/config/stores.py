"""Settings of the stores, and of the keys in them."""

from datetime import timedelta
from typing import Literal

from pydantic import SecretStr

from token_service.config import values
from token_service.config.values import Group, setting

_HOUR = timedelta(hours=1)


class Stores(Group):
    """Where the data are."""

    postgres_dsn: SecretStr = setting(
        "PostgreSQL, as `postgresql://user:password@host/database`; several hosts as "
        "`one:5432,two:5432`. From a file it is read again when no connection can be made. "
        "Required."
    )
    postgres_direct_dsn: SecretStr | None = setting(
        "The same database without a pooler, for what needs sessions that last: following the "
        "trust log, `migrate`, `doctor`, `restore-fence`. Default: `POSTGRES_DSN`; needed where "
        "the pooler is `transaction`.",
        None,
    )
    postgres_pooler: Literal["none", "session", "transaction"] = setting(
        "What stands between the service and PostgreSQL at `POSTGRES_DSN`, such as PgBouncer, by "
        "its pool mode.",
        "none",
    )
    postgres_pool_size: values.Connections = setting("Connections for all but Validate.", 10)
    postgres_validate_pool_size: values.Connections = setting(
        "Connections kept for what Validate does not find in memory.", 4
    )
    postgres_timeout: values.Duration = setting(
        "Longest wait for PostgreSQL in one call.", timedelta(seconds=2), le=_HOUR
    )
    redis_url: SecretStr | None = setting(
        "Redis or Valkey, as `redis://`, `rediss://`, `unix://`, `redis+cluster://` or "
        "`redis+sentinel://`. Without one no pairing can be started, and everything else works, "
        "slower.",
        None,
    )
    redis_connections: values.Connections = setting(
        "Connections to Redis, or to each member of a Cluster, for each worker.", 16
    )
    redis_timeout: values.Duration = setting(
        "Longest wait for Redis before PostgreSQL is asked; at most 50 ms.",
        timedelta(milliseconds=50),
        le=timedelta(milliseconds=50),
    )
    postgres_synchronous: Literal["optional", "required"] = setting(
        "`required`: refuse to start, and to serve, unless each commit waits until a standby has "
        "flushed it. `optional`: say so in the log, the metrics and `doctor`.",
        "optional",
    )
    postgres_managed_by: Literal["neon"] | None = setting(
        "Managed service whose storage keeps commits although a setting of PostgreSQL is off: "
        "`neon` (`fsync`), while commits wait for its safekeepers.",
        None,
    )
    allow_unsafe_durability: bool = setting(
        "Start although PostgreSQL may lose what it acknowledged (`fsync` or "
        "`synchronous_commit` off). For tests alone.",
        False,
    )


class Keys(Group):
    """What tokens are signed and secrets hashed with."""

    secret_keys: SecretStr = setting(
        "Secrets from which keys are derived, as `id:base64url` of at least 32 random bytes, the "
        "newest first, separated by commas or lines. Required.",
    )
    signing_algorithms: values.Algorithms = setting(
        "Algorithms that always have a key (EdDSA, ES256, RS256, PS256, HS256), separated by "
        "commas. The first signs where a client's policy does not say.",
        ("EdDSA",),
        min_length=1,
    )
    key_rotation_period: values.Duration = setting(
        "How long a key makes tokens.", timedelta(days=30)
    )
    pepper_rotation_period: values.Duration = setting(
        "How long secrets are hashed under one pepper.", timedelta(days=365)
    )
    key_publish_lead: values.Duration = setting(
        "How long before its first token a key is published; at least twice the staleness limit.",
        timedelta(minutes=1),
    )
