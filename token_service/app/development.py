"""What the development server has beside a server's own parts: stores in child processes, and
clients and a user to try everything with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedValkey
from token_service.adapters.embedded.place import DataDir
from token_service.adapters.postgres.connecting import Source
from token_service.app.errors import StartupError
from token_service.app.parts import Parts
from token_service.app.upkeep import migrate
from token_service.app.usecases import offline
from token_service.config import Settings
from token_service.usecases.demo import USERNAME, DemoCredentials

__all__ = [
    "SECRET_KEYS_FILE",
    "USERNAME",
    "DemoCredentials",
    "DevelopmentStores",
    "new_secret_keys",
    "seed_demo",
]

SECRET_KEYS_FILE = "secret_keys"  # noqa: S105 - a file's name
"""Beside the stores' folders: what TOKEN_SERVICE_SECRET_KEYS_FILE names, mode 0600."""

_POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class DevelopmentStores:
    """Addresses of a running PostgreSQL, migrated, and of a running Valkey."""

    postgres_dsn: str = field(repr=False)
    redis_url: str = field(repr=False)

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator["DevelopmentStores"]:
        """Run both on `folder`, which no other process may use meanwhile. They end with the
        block, and with this process however it ends. Blocks, and migrates on a loop of its own.
        Raises StartupError."""
        place = DataDir(folder)
        try:
            place.acquire()
            _keep_secret_keys(place)
            with (
                EmbeddedPostgres(folder / _POSTGRES) as postgres,
                EmbeddedValkey(folder / "valkey") as valkey,
            ):
                migrate(Source(text=postgres.dsn))
                yield cls(postgres.dsn, valkey.url)
        except EmbeddedError as error:
            raise StartupError(str(error)) from error
        finally:
            place.release()


def _keep_secret_keys(place: DataDir) -> None:
    """Make the secrets that keys are derived from, once; they live as long as the data."""
    if place.recall(SECRET_KEYS_FILE):
        return
    path = place.path / SECRET_KEYS_FILE
    if (place.path / _POSTGRES).exists():
        raise StartupError(
            f"{path} is missing, and the data beside it cannot be used without it: "
            f"restore the file, or remove {place.path} to start anew"
        )
    place.remember(SECRET_KEYS_FILE, new_secret_keys())


def new_secret_keys() -> str:
    """A value for TOKEN_SERVICE_SECRET_KEYS. A secret."""
    return SecretKeys.generate_text()


async def seed_demo(settings: Settings, known: DemoCredentials) -> DemoCredentials:
    """Make what is missing of the demo; the credentials with which everything of it can be used,
    those that are `known` where they still are right. Raises StartupError."""
    parts = await Parts.open(settings)
    try:
        return await offline.seed_demo(parts)(known)
    finally:
        await parts.close()
