"""`token-service dev`: everything on one machine, ready to be called."""

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from token_service.app import serve
from token_service.app.development import (
    USERNAME,
    DemoCredentials,
    DevelopmentStores,
    seed_demo,
)
from token_service.cli.calling import demo_file
from token_service.cli.calling.demo_file import DemoClient, DemoFile, DemoUser
from token_service.cli.local.banner import banner
from token_service.cli.local.deployment import development_environment, server_settings
from token_service.cli.local.runner import run_async, told
from token_service.config import Settings
from token_service.logging import configure

_ANY_PORT = ":0"


@dataclass(frozen=True, slots=True)
class Development:
    """A development server: its folder, its stores and its settings."""

    folder: Path
    stores: DevelopmentStores
    settings: Settings


def run(environment: Mapping[str, str]) -> int:
    """Start the stores, fill them and serve until a signal comes; return the exit code.

    Raises CliError when something cannot be started, such as a second server on the same data.
    """
    folder = demo_file.data_dir().resolve()
    with told(), _ended_by_signals(), DevelopmentStores.running(folder) as stores:
        variables = development_environment(
            folder, stores.postgres_dsn, stores.redis_url, environment
        )
        settings = server_settings(variables)
        configure(settings.log_level, settings.log_format)
        try:
            return run_async(_serve(Development(folder, stores, settings)))
        finally:
            _heed_no_more()


async def _serve(server: Development) -> int:
    demo = await _seeded(server)
    if not server.settings.grpc_listen.endswith(_ANY_PORT):
        # Whoever waits for the port finds the file in place.
        demo_file.write(server.folder, demo)

    async def ready(address: str) -> None:
        serving = replace(demo, grpc=_callable(address))
        path = demo_file.write(server.folder, serving)
        sys.stdout.write(banner(serving, path, secrets_too=sys.stdout.isatty()))
        sys.stdout.flush()

    return await serve(server.settings, on_ready=ready)


async def _seeded(server: Development) -> DemoFile:
    """Make what is missing of the demo, and return what can be used."""
    former = demo_file.read(server.folder)
    known = DemoCredentials()
    if former is not None:
        known = DemoCredentials(
            {name: client.client_secret for name, client in former.clients.items()},
            {former.user.username: former.user.password},
        )
    seeded = await seed_demo(server.settings, known)
    return DemoFile(
        grpc=_callable(server.settings.grpc_listen),
        postgres=server.stores.postgres_dsn,
        redis=server.stores.redis_url,
        clients={name: DemoClient(name, secret) for name, secret in seeded.clients.items()},
        user=DemoUser(USERNAME, seeded.users[USERNAME]),
    )


def _callable(address: str) -> str:
    """Return the address by which a server that listens everywhere is called from here."""
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]", "*") else address  # noqa: S104


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP of a terminal that closes, end the program as Ctrl-C does, so that
    the stores are stopped in order."""
    ends = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as nohup asks for
    ]
    for number in ends:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in ends:
            signal.signal(number, signal.SIG_DFL)


def _heed_no_more() -> None:
    """The stores stop in order, and soon. A terminal that closes often says so twice."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
