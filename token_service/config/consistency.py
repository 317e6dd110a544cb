"""Whether settings go together, and whether what they name can be used."""

from token_service.config import checks
from token_service.config.settings import Settings


def check(settings: Settings) -> None:
    """Raise UnusableError for the first setting that no server could work with."""
    _check_secrets(settings)
    _check_times(settings)
    _check_transport(settings)


def _check_secrets(settings: Settings) -> None:
    _check_postgres(settings)
    with checks.about("secret_keys"):
        checks.check_secret_keys(settings.secret_keys.get_secret_value())
    if settings.redis_url is not None:
        with checks.about("redis_url"):
            checks.check_redis_url(settings.redis_url.get_secret_value())


def _check_postgres(settings: Settings) -> None:
    pooled = settings.postgres_pooler != "none"
    with checks.about("postgres_dsn"):
        checks.check_postgres_dsn(settings.postgres_dsn.get_secret_value(), pooled=pooled)
    if settings.postgres_direct_dsn is not None:
        with checks.about("postgres_direct_dsn"):
            checks.check_postgres_dsn(settings.postgres_direct_dsn.get_secret_value())
    elif settings.postgres_pooler == "transaction":
        raise checks.UnusableError(
            "postgres_direct_dsn",
            "is needed where TOKEN_SERVICE_POSTGRES_POOLER is transaction: the address of the "
            "same database without the pooler",
        )


def _check_times(settings: Settings) -> None:
    if settings.heartbeat * 2 >= settings.staleness_limit:
        raise checks.UnusableError("heartbeat", "must be less than half of the staleness limit")
    if settings.key_publish_lead < settings.staleness_limit * 2:
        raise checks.UnusableError("key_publish_lead", "must be at least twice the staleness limit")
    for name in ("key_rotation_period", "pepper_rotation_period"):
        if getattr(settings, name) <= settings.key_publish_lead:
            raise checks.UnusableError(name, "must be longer than TOKEN_SERVICE_KEY_PUBLISH_LEAD")


def _check_transport(settings: Settings) -> None:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        missing = "tls_cert" if settings.tls_cert is None else "tls_key"
        raise checks.UnusableError(missing, "certificate and key are needed together")
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        raise checks.UnusableError(
            "tls_client_ca", "needs TOKEN_SERVICE_TLS_CERT and TOKEN_SERVICE_TLS_KEY as well"
        )
    if settings.tls_cert is not None and settings.tls_key is not None:
        with checks.about("tls_cert"):
            checks.check_tls_files(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    elif not checks.is_private_address(settings.grpc_listen) and not settings.allow_plaintext:
        raise checks.UnusableError(
            "grpc_listen",
            "other machines are served with TLS alone: set TOKEN_SERVICE_TLS_CERT and "
            "TOKEN_SERVICE_TLS_KEY, or TOKEN_SERVICE_ALLOW_PLAINTEXT to go without",
        )
    if settings.workers > 1 and settings.grpc_listen.startswith("unix:"):
        raise checks.UnusableError(
            "workers", "only one process can serve on a unix: address; listen on host:port"
        )
