"""`token-service dev`: everything on one machine, ready to be called."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from token_service.adapters.crypto.secrets_config import SecretKeys
from token_service.adapters.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedValkey
from token_service.adapters.embedded.place import DataDir
from token_service.adapters.postgres.migrate import MigrationError, migrate
from token_service.cli import demo_file
from token_service.cli.banner import banner
from token_service.cli.demo_file import DemoClient, DemoFile, DemoUser
from token_service.cli.deployment import SECRET_KEYS_FILE, development_environment, server_settings
from token_service.cli.problems import CliError
from token_service.cli.runner import run_async
from token_service.config import Settings
from token_service.logging import configure

_ANY_PORT = ":0"


@dataclass(frozen=True, slots=True)
class Development:
    """A development server's folder, its stores' addresses and its settings."""

    folder: Path
    dsn: str
    redis_url: str
    settings: Settings


def run(environment: dict[str, str]) -> int:
    """Start the stores, fill them and serve until a signal comes; return the exit code.

    Raises CliError when something cannot be started, such as a second server on the same data.
    """
    folder = demo_file.data_dir().resolve()
    try:
        with _ended_by_sigterm(), _stores(folder) as (dsn, redis_url):
            migrate(dsn)
            variables = development_environment(folder, dsn, redis_url, environment)
            settings = server_settings(variables)
            configure(settings.log_level, settings.log_format)
            return run_async(_serve(Development(folder, dsn, redis_url, settings)))
    except (EmbeddedError, MigrationError) as error:
        raise CliError(str(error)) from None


@contextmanager
def _stores(folder: Path) -> Iterator[tuple[str, str]]:
    """Run PostgreSQL and Valkey on `folder`, which no other process may use meanwhile."""
    place = DataDir(folder)
    place.acquire()
    try:
        _keep_secret_keys(folder)
        with (
            EmbeddedPostgres(folder / "postgres") as postgres,
            EmbeddedValkey(folder / "valkey") as valkey,
        ):
            yield postgres.dsn, valkey.url
    finally:
        place.release()


def _keep_secret_keys(folder: Path) -> None:
    """Make the secrets that keys are derived from, once."""
    path = folder / SECRET_KEYS_FILE
    if path.exists():
        return
    if (folder / "postgres").exists():
        raise CliError(
            f"{path} is missing, and the data in {folder} cannot be used without it: "
            f"restore the file, or remove {folder} to start anew"
        )
    demo_file.write_private(path, SecretKeys.generate_text() + "\n")


async def _serve(server: Development) -> int:
    from token_service.app import serve

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
    from token_service.app.parts import Parts
    from token_service.usecases.demo import USERNAME, DemoCredentials, SeedDemo

    former = demo_file.read(server.folder)
    known = DemoCredentials()
    if former is not None:
        known = DemoCredentials(
            {name: client.client_secret for name, client in former.clients.items()},
            {former.user.username: former.user.password},
        )
    parts = await Parts.open(server.settings)
    try:
        seed = SeedDemo(
            parts.clients, parts.users, parts.secrets, parts.hasher, parts.clock, parts.random
        )
        seeded = await seed(known)
    finally:
        await parts.close()
    return DemoFile(
        grpc=_callable(server.settings.grpc_listen),
        postgres=server.dsn,
        redis=server.redis_url,
        clients={name: DemoClient(name, secret) for name, secret in seeded.clients.items()},
        user=DemoUser(USERNAME, seeded.users[USERNAME]),
    )


def _callable(address: str) -> str:
    """Return the address by which a server that listens everywhere is called from here."""
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]", "*") else address  # noqa: S104


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does, so that the stores are stopped in order."""
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
