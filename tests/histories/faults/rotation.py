"""Secrets that are replaced, and a backup that is restored."""

import asyncio
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.histories.faults.postgres import postgres_of
from tests.histories.history import Loss
from tests.histories.nemesis import Nemesis, NoEffectError, seen
from tests.histories.site import Site
from tests.support.api import Api, basic
from tests.support.outcomes import outcome
from tests.support.servers import ROOT
from tests.support.waiting import PATIENCE
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.embedded import binaries
from tokenservice.v1 import key_service_pb2 as keys_pb
from tokenservice.v1 import types_pb2 as types


class SecretsRotated(Nemesis):
    """k1, then k1,k2, then k2,k1: node by node, as the operations page says."""

    name = "secrets-rotated"
    title = "the configured secret is replaced: k1, k1,k2, k2,k1, node by node"
    seconds = 3.0
    _new = ""

    async def start(self, site: Site) -> None:
        old, self._new = site.world.secret_keys, SecretKeys.generate_text()
        for keys in (f"{old},{self._new}", f"{self._new},{old}"):
            for node in site.nodes:
                code = await node.terminate()
                if code:
                    raise NoEffectError(f"{node.name} ended with {code}")
                await node.start(secret_keys=keys)
                await asyncio.sleep(1.0)

    async def took_effect(self, site: Site) -> str:
        new = self._new.partition(":")[0]

        async def used() -> bool:
            return bool(await site.sql("SELECT 1 FROM keys WHERE secret_key_id = $1", new))

        await _rotate(site)
        await seen(used, "no key is made under the new secret", 30.0)
        return "keys are made under the new secret"

    async def heal(self, site: Site) -> None:
        del site


async def _rotate(site: Site) -> None:
    """Rotate keys of every purpose, where none is waiting already."""
    authorization = basic("admin", site.world.clients["admin"])
    async with Api(site.nodes[0].address, authorization) as api:
        for purpose in types.KeyPurpose.values()[1:]:
            request = keys_pb.RotateKeyRequest(purpose=purpose)
            call = api.keys.RotateKey(request, metadata=api.metadata, timeout=PATIENCE)
            assert await outcome(call) != "INTERNAL"


class _Restored(Nemesis):
    """A dump is taken, the database goes on, and the dump is put into its place."""

    seconds = 2.0
    _epochs = ("", "")
    _dump: Path | None = None
    _began = 0.0

    async def _take(self, site: Site) -> None:
        self._dump = site.folder / "dump"
        self._epochs = (await self._epoch(site), "")
        self._began = site.recorder.now()
        await self._program(site, "pg_dump", "-Fc", "-f", str(self._dump))
        await asyncio.sleep(2.0)

    async def _put_back(self, site: Site) -> None:
        postgres = postgres_of(site)
        name = urlsplit(site.stores.direct).path.removeprefix("/")
        await asyncio.to_thread(postgres.drop_database, name)
        await asyncio.to_thread(postgres.create_database, name)
        await self._program(site, "pg_restore", "--exit-on-error", "-d", name, str(self._dump))

    async def _program(self, site: Site, program: str, *arguments: str) -> None:
        dsn = site.stores.direct
        target = ["-d", dsn] if program == "pg_dump" else []
        command = [str(binaries.postgres_bin() / program), *target, *arguments]
        if program == "pg_restore":
            command[command.index("-d") + 1] = dsn
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=120)

    async def _epoch(self, site: Site) -> str:
        rows = await site.sql("SELECT epoch FROM trust_head")
        return str(rows[0]["epoch"])

    async def fenced(self, site: Site) -> str:
        """Wait until the log has begun anew."""

        async def changed() -> bool:
            return await self._epoch(site) != self._epochs[0]

        await seen(changed, "the log went on as if nothing had happened", 30.0)
        site.recorder.history.losses[:] = [Loss(self._began, site.recorder.now())]
        return "the dump is in place, and the trust log has another epoch"

    async def took_effect(self, site: Site) -> str:
        return await self.fenced(site)

    async def heal(self, site: Site) -> None:
        del site


class RestoredWithFence(_Restored):
    """Nodes stopped, dump restored, `restore-fence`, nodes started."""

    name = "restored-with-fence"
    title = "a dump is restored, with `restore-fence`"

    async def start(self, site: Site) -> None:
        await self._take(site)
        site.recorder.history.losses.append(Loss(self._began))
        for node in site.nodes:
            await node.terminate()
        await self._put_back(site)
        command = [sys.executable, "-m", "token_service", "restore-fence", "--yes"]
        environment = {**site.nodes[0].environment, "PATH": "/usr/bin:/bin"}
        fence = subprocess.run
        await asyncio.to_thread(
            fence, command, check=True, cwd=ROOT, env=environment, timeout=60, capture_output=True
        )
        for node in site.nodes:
            await node.start()


class RestoredWithoutFence(_Restored):
    """The dump takes the database's place under running nodes, and nobody tells them."""

    name = "restored-without-fence"
    title = "a dump is restored under running nodes, and nobody runs `restore-fence`"

    async def start(self, site: Site) -> None:
        await self._take(site)
        site.recorder.history.losses.append(Loss(self._began))
        await self._put_back(site)


ROTATION = (SecretsRotated, RestoredWithFence, RestoredWithoutFence)
