"""The development server's `credentials.json`: where it listens and who may call."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from token_service.cli import variables
from token_service.cli.problems import CliError

DEFAULT_DATA_DIR = Path("var/dev")
FILE_NAME = "credentials.json"


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A client of the development server."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DemoUser:
    """The user of the development server."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DemoFile:
    """Everything that a developer needs. Holds secrets: see `write`."""

    grpc: str
    postgres: str = field(repr=False)
    redis: str = field(repr=False)
    clients: Mapping[str, DemoClient]
    user: DemoUser

    def client(self, name: str) -> DemoClient:
        """Return a client by its name; raises CliError naming those there are."""
        if name not in self.clients:
            known = ", ".join(sorted(self.clients))
            raise CliError(f"the development server has no client {name!r}; it has {known}")
        return self.clients[name]

    def name_of(self, client_id: str) -> str | None:
        """Return the name of the demo client with this id."""
        return next((n for n, c in self.clients.items() if c.client_id == client_id), None)


def data_dir() -> Path:
    """Return the folder of the development server, from the environment or the default."""
    return Path(os.environ.get(variables.DATA_DIR) or DEFAULT_DATA_DIR)


def read(folder: Path) -> DemoFile | None:
    """Read the file in `folder`; None when there is none. Raises CliError for a broken one."""
    path = folder / FILE_NAME
    try:
        content = json.loads(path.read_bytes())
        return _parsed(content)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise CliError(f"{path} belongs to another user: run this as that user") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        # "from None": the decoder's exception holds the whole document.
        raise CliError(f"{path} is damaged: remove it and start the server again") from None


def write(folder: Path, content: DemoFile) -> Path:
    """Write the file at once and whole, readable by its owner alone."""
    return write_private(folder / FILE_NAME, json.dumps(asdict(content), indent=2) + "\n")


def write_private(path: Path, text: str) -> Path:
    """Replace a file by one with mode 0600; a crash leaves the old or the new one, never half."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    scratch.rename(path)
    return path


def _parsed(content: Any) -> DemoFile:  # noqa: ANN401 - any JSON document
    return DemoFile(
        grpc=str(content["grpc"]),
        postgres=str(content["postgres"]),
        redis=str(content["redis"]),
        clients={name: DemoClient(**client) for name, client in content["clients"].items()},
        user=DemoUser(**content["user"]),
    )
