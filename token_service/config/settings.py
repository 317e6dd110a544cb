"""What can be set, with its default and its bounds.

Every setting is a variable `TOKEN_SERVICE_<NAME>`; a secret may also come from the file that
`TOKEN_SERVICE_<NAME>_FILE` names.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, PrivateAttr

from token_service.config import checks
from token_service.config.issuing import Codes, Passwords, Tokens
from token_service.config.process import Limits, Logs, Server, Surroundings
from token_service.config.stores import Keys, Stores

PREFIX = "TOKEN_SERVICE_"

MOST_HASHING_THREADS = 8
"""Unless more are asked for: each takes 19 MiB while it hashes."""


class Settings(Surroundings, Logs, Limits, Server, Codes, Passwords, Tokens, Keys, Stores):
    """All settings of one server. Durations are a number of seconds, or `500ms`, `30s`, `5m`,
    `12h`, `30d`."""

    # The bases stand in reverse: the fields of the last one come first, in tables and reports.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    _files: dict[str, Path] = PrivateAttr(default_factory=dict)

    def from_files(self, files: Mapping[str, Path]) -> Self:
        """These settings, of which some were read from `files`."""
        self._files = dict(files)
        return self

    def file_of(self, name: str) -> Path | None:
        """The file that this setting was read from."""
        return self._files.get(name)

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
