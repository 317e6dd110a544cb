"""Which migrations a database has, beside those that this version ships."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from token_service.adapters.postgres.pool import Connection, Database

MIGRATIONS = Path(__file__).with_name("migrations")

_EXISTS = "SELECT to_regclass('schema_migrations') IS NOT NULL AS exists"  # dbmate's table
_APPLIED = "SELECT version FROM schema_migrations"
_FILE = re.compile(r"(\d+).*\.sql")  # the digits are dbmate's version of it


@dataclass(frozen=True, slots=True)
class Schema:
    """How the schema of a database stands to this version.

    `missing` names the files of migrations that are not applied. `newer` holds the versions
    (`YYYYMMDDhhmmss`) that are applied and not shipped: a newer version migrated the database.
    """

    missing: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()


async def read_schema(store: Database | Connection, migrations: Path = MIGRATIONS) -> Schema:
    """Read which migrations are applied. Raises what `store` raises."""
    shipped = _shipped(migrations)
    exists = await store.fetchrow(_EXISTS)
    ever = exists is not None and exists["exists"]
    applied = {str(row["version"]) for row in await store.fetch(_APPLIED)} if ever else set()
    return Schema(
        missing=tuple(sorted(shipped[version] for version in shipped.keys() - applied)),
        newer=tuple(sorted(applied - shipped.keys())),
    )


def _shipped(migrations: Path) -> dict[str, str]:
    """File names by version."""
    files = (_FILE.fullmatch(path.name) for path in migrations.iterdir())
    return {file[1]: file[0] for file in files if file is not None}
