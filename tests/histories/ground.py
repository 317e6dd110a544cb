"""What runs are built on: a folder, and one PostgreSQL and one Valkey for all that share them."""

import asyncio
import itertools
from pathlib import Path

import redis

from tests.histories.site import Stores
from tests.histories.world import populate
from tests.support.world import World
from token_service.adapters.embedded import EmbeddedPostgres, EmbeddedValkey
from token_service.adapters.postgres.migrate import migrate

_TEMPLATE = "populated"


class Ground:
    """Used as a context manager; what it started ends with it. `folder` is open to other users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        self._postgres: EmbeddedPostgres | None = None
        self._valkey: EmbeddedValkey | None = None
        self._world: World | None = None
        self._stopped: tuple[Path, World] | None = None

    def new_folder(self) -> Path:
        """An empty one."""
        folder = self.folder / f"own-{next(self._numbers)}"
        folder.mkdir()
        return folder

    async def shared(self) -> Stores:
        """A database of its own on the PostgreSQL that runs share, and the emptied Valkey."""
        valkey = await self.valkey()
        assert self._postgres is not None
        assert self._world is not None
        name = f"run_{next(self._numbers)}"
        dsn = await asyncio.to_thread(self._postgres.create_database, name, template=_TEMPLATE)
        world = self._world.moved_to(dsn, valkey.url)
        return Stores(world, dsn, self._postgres, valkey)

    async def template(self) -> tuple[Path, World]:
        """Of replicated servers: the data directory of a stopped one, and the clients in it."""
        if self._stopped is None:
            postgres, _ = described(self.new_folder())
            await asyncio.to_thread(postgres.start)
            try:
                await asyncio.to_thread(migrate, postgres.dsn)
                world = await populate(postgres.dsn, None)
            finally:
                await asyncio.to_thread(postgres.stop)
            self._stopped = postgres.cluster.parent, world
        return self._stopped

    async def valkey(self) -> EmbeddedValkey:
        """The Valkey that runs share, emptied."""
        if self._world is None:
            await self._begin()
        assert self._valkey is not None
        await asyncio.to_thread(_empty, self._valkey.url)
        return self._valkey

    async def _begin(self) -> None:
        self._postgres, self._valkey = described(self.new_folder())
        await asyncio.gather(*map(asyncio.to_thread, (self._postgres.start, self._valkey.start)))
        dsn = await asyncio.to_thread(self._postgres.create_database, _TEMPLATE)
        await asyncio.to_thread(migrate, dsn)
        self._world = await populate(dsn, self._valkey.url)

    async def close(self) -> None:
        """Stop the stores."""
        for store in (self._postgres, self._valkey):
            if store is not None:
                await asyncio.to_thread(store.stop)


def described(
    folder: Path, settings: dict[str, str] | None = None
) -> tuple[EmbeddedPostgres, EmbeddedValkey]:
    """Stores that are not started yet; without fsync, because no machine loses its power here."""
    postgres = EmbeddedPostgres(folder / "postgres", fsync=False, settings=settings)
    return postgres, EmbeddedValkey(folder / "valkey")


def _empty(url: str) -> None:
    with redis.from_url(url) as connection:
        connection.flushall()
