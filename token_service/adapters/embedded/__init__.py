"""PostgreSQL and Valkey as child processes on private sockets, for the dev mode and the tests.

Both are the real servers, taken from wheels (extra `embedded`). They end with the process that
started them, however it ends. Linux only.
"""

from token_service.adapters.embedded.errors import EmbeddedError
from token_service.adapters.embedded.place import DataDir
from token_service.adapters.embedded.postgres import EmbeddedPostgres
from token_service.adapters.embedded.valkey import EmbeddedValkey

__all__ = ["DataDir", "EmbeddedError", "EmbeddedPostgres", "EmbeddedValkey"]
