"""gRPC channels as this package opens them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc

from tokenservice._transport.addresses import default_authority, is_local

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMON_OPTIONS: Final = (
    # Channels to one address otherwise share a connection, and with it one worker of the server.
    ("grpc.use_local_subchannel_pool", 1),
    # A name with several addresses: calls go to all of them.
    ("grpc.lb_policy_name", "round_robin"),
    # A DNS record must not be able to change how calls are retried.
    ("grpc.service_config_disable_resolution", 1),
    # A server that moved is found at its new address at once; the default asks DNS each 30 seconds.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # A server that restarted is found again within seconds; the defaults go up to two minutes.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    # A peer that vanished is noticed within 30 seconds. Servers allow a ping each ten seconds.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)

FIRST_PAUSE_MS: Final = 100
PATIENT_PAUSE_MS: Final = 3_000
"""Between two attempts to connect: at first, and of a channel that replaces one that failed, which
must not begin with quick ones again."""


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How targets are reached: under which names, and whether through a proxy."""

    authority: str = ""
    server_name: str = ""
    trust_env: bool = True

    def options(
        self, target: str, *, secure: bool, patient: bool = False
    ) -> Sequence[tuple[str, int | str]]:
        """Give the options of a channel to a target."""
        pause = PATIENT_PAUSE_MS if patient else FIRST_PAUSE_MS
        options: list[tuple[str, int | str]] = [
            *COMMON_OPTIONS,
            ("grpc.initial_reconnect_backoff_ms", pause),
        ]
        # What is meant for this machine, or may be read on the way, goes through no proxy.
        if not (self.trust_env and secure) or is_local(target):
            options.append(("grpc.enable_http_proxy", 0))
        if secure and self.server_name:
            options.append(("grpc.ssl_target_name_override", self.server_name))
        authority = self.authority or ("" if self.server_name else default_authority(target))
        if authority:
            options.append(("grpc.default_authority", authority))
        return options


def open_channel(
    target: str,
    credentials: grpc.ChannelCredentials | None,
    settings: ChannelSettings,
    *,
    patient: bool = False,
) -> grpc.aio.Channel:
    """Open one; without credentials in plaintext. It connects at its first use."""
    options = settings.options(target, secure=credentials is not None, patient=patient)
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, credentials, options=options)
