"""Settings of a server as a process: where it listens, what it bears, what it writes."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

from token_service.config import values
from token_service.config.values import Group, setting


class Server(Group):
    """Where and how calls are answered."""

    grpc_listen: values.ListenAddress = setting(
        "Where to listen: `host:port` (port 0 for any free one) or `unix:/path`.",
        "127.0.0.1:50051",
    )
    workers: int = setting(
        "Processes that serve on that address, as a rule one for each core. Limits and pools are "
        "each one's own.",
        1,
        ge=1,
        le=256,
    )
    tls_cert: Path | None = setting("File with the certificate chain, PEM.", None)
    tls_key: Path | None = setting("File with the certificate's key, PEM.", None)
    tls_client_ca: Path | None = setting(
        "File with the authorities, PEM, of client certificates; with it every caller must "
        "present one.",
        None,
    )
    allow_plaintext: bool = setting(
        "Serve other machines without TLS. Tokens and passwords are then readable.", False
    )
    reflection: bool = setting("Offer gRPC server reflection.", False)
    open_registration: bool = setting(
        "Let anybody register clients and collect credentials, limited by address.", False
    )
    grace_period: values.Wait = setting(
        "How long calls in flight may go on after a stop was asked for.",
        timedelta(seconds=20),
    )
    drain_delay: values.Wait = setting(
        "How long a stopping server goes on telling that it is not serving, before it closes "
        "its connections.",
        timedelta(milliseconds=500),
    )
    max_connection_age: values.Duration = setting(
        "After this time a connection is ended gently, so that load spreads anew.",
        timedelta(minutes=10),
        ge=timedelta(seconds=1),
        le=timedelta(milliseconds=values.MOST),
    )
    metrics_listen: values.HostPort | None = setting(
        "Where to serve metrics and probes over plain HTTP, as `host:port`.", None
    )


class Limits(Group):
    """How much is served at the same time."""

    max_unary_calls: values.Count = setting(
        "Calls in flight, streams not counted. One caller gets at most three quarters of this and "
        "of the three bounds below.",
        1_000,
    )
    max_streams: values.Count = setting("Streams at the same time.", 1_000)
    max_pairing_watches: values.Count = setting("Streams of pairings at the same time.", 5_000)
    max_password_calls: values.Count = setting(
        "Calls with a password in flight; at most as many as are hashed and may wait for it.",
        64,
    )
    max_connections: values.Count = setting(
        "Connections at the same time, as far as the limit of open files allows; more are closed "
        "at once.",
        4_000,
    )
    max_connections_per_address: values.Count = setting(
        "Connections from one address (an IPv6 /64) at the same time; the newest of more are "
        "closed. A proxy in front of the service counts as one address.",
        1_000,
    )
    max_connection_streams: values.Count = setting("Calls in flight on one connection.", 1_000)
    rate_scale: float = setting(
        "Multiplies the calls per second that each client may make.",
        1.0,
        gt=0,
        le=1_000_000,
    )


class Logs(Group):
    """What is logged."""

    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "Least severe level that is written.", "info"
    )
    log_format: Literal["json", "console"] = setting(
        "`json` for machines, `console` for people.", "json"
    )


class Surroundings(Group):
    """What is around the server."""

    environment: Literal["production", "development", "test"] = setting(
        "What this server is for.", "production"
    )
    data_dir: Path = setting("Data of the development server's own stores.", Path("var/dev"))
